/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CHECKPOINT_H
#define FSMOE_CHECKPOINT_H

#include <fsmoe/model.h>
#include <fsmoe/runtime.h>
#include <fsmoe/train.h>

/*
 * Checkpoints: a folder DIR/step-000123 with the parameters (model.safetensors), the moments of the
 * optimizer (optimizer.safetensors) and manifest.json, and DIR/latest, a line that names the newest
 * folder. Tensors are stored whole, whatever the layout: any number of ranks reads what any other
 * wrote. doc/formats.md describes the files.
 *
 * Collective unless it says otherwise, between steps; every rank returns the same status. A file
 * system that all ranks see is needed for saving.
 */

#ifdef __cplusplus
extern "C" {
#endif

struct fsmoe_checkpoint_info
{
	size_t size;   /* set by fsmoe_checkpoint_info_init */
	uint64_t step; /* steps done */
	uint64_t samples;
	struct fsmoe_train_opts train; /* its seed is the run's */
	int has_model;                 /* 0: a model of the user's own */
	struct fsmoe_model_spec model; /* with its degrees; strings are static */
	int ranks;
	struct fsmoe_layout layout; /* on which it was written; any other reads it */
	char *run; /* a JSON object that is kept as it is: plan, schedule, place in the data;
		      NULL: none. fsmoe_checkpoint_info_free frees one that was read */
};

void fsmoe_checkpoint_info_init(struct fsmoe_checkpoint_info *info);
void fsmoe_checkpoint_info_free(struct fsmoe_checkpoint_info *info);

/* Writes DIR/step-NNNNNN under another name, then renames it, then DIR/latest, then removes all
 * but the `keep` newest (0: none is removed). On failure nothing that was there is harmed. Of
 * `info`, samples, model and run are read; the rest is the trainer's. */
int fsmoe_checkpoint_save(const char *dir, fsmoe_trainer_t trainer,
			  const struct fsmoe_checkpoint_info *info, int keep);

/* Reads parameters, moments, step and seed into a trainer. `path` is a step's folder, or one with
 * a file `latest`. `model` (may be NULL) is what the trainer was built with: -EINVAL when the
 * checkpoint's differs in more than capacity, degrees and layout of data. All is read and checked
 * before the trainer is changed. -ENOENT: there is no checkpoint at all; -EPROTO: it is damaged.
 * info (may be NULL) is filled. */
int fsmoe_checkpoint_load(const char *path, fsmoe_trainer_t trainer,
			  const struct fsmoe_model_spec *model, struct fsmoe_checkpoint_info *info);

/* The parameters only, into the memory of a graph with the same ones, before a program is made of
 * it: for generation. comms may be NULL (one rank). */
int fsmoe_checkpoint_load_weights(const char *path, fsmoe_graph_t graph, fsmoe_memory_t memory,
				  fsmoe_comms_t comms, const struct fsmoe_model_spec *model,
				  struct fsmoe_checkpoint_info *info);

/* Local: what the manifest says. -ENOENT: there is no checkpoint; -EPROTO: it is damaged. */
int fsmoe_checkpoint_read_info(const char *path, struct fsmoe_checkpoint_info *info);

/* Local: two columns of names and shapes, the graph's and the checkpoint's, with a mark where they
 * differ. Returns how many differ, or a failure as fsmoe_checkpoint_read_info; out may be NULL. */
int fsmoe_checkpoint_compare(const char *path, fsmoe_graph_t graph, FILE *out);

#ifdef __cplusplus
}
#endif
#endif
