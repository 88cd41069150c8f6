/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CHECKPOINT_H
#define FSMOE_CHECKPOINT_H

#include <fsmoe/model.h>
#include <fsmoe/runtime.h>
#include <fsmoe/train.h>

/*
 * A checkpoint is a folder DIR/step-000123 with the parameters (model.safetensors), the moments of
 * the optimizer (optimizer.safetensors) and manifest.json; DIR/latest names the newest folder.
 * Tensors are stored whole, whatever the layout, so any number of ranks can read it.
 * doc/formats.md describes the files.
 *
 * All functions are collective over the job unless they say otherwise, and are called between
 * steps; every rank returns the same status. Saving needs a file system that all ranks share.
 */

#ifdef __cplusplus
extern "C" {
#endif

struct fsmoe_checkpoint_info
{
	size_t size;   /* set by fsmoe_checkpoint_info_init */
	uint64_t step; /* steps done */
	uint64_t samples;
	struct fsmoe_train_opts train; /* with the run's seed */
	int has_model;                 /* 0: a model of the user's own */
	struct fsmoe_model_spec model; /* with its degrees; strings are static */
	int ranks;
	struct fsmoe_layout layout; /* of the ranks that wrote it */
	char *run; /* a JSON object that is kept as it is, such as options and plan of the run;
		      NULL: none. fsmoe_checkpoint_info_free frees one that was read */
};

/* Local. */
void fsmoe_checkpoint_info_init(struct fsmoe_checkpoint_info *info);
void fsmoe_checkpoint_info_free(struct fsmoe_checkpoint_info *info);

/* Saves a trainer: writes DIR/step-NNNNNN under another name, renames it, updates DIR/latest, and
 * removes all but the `keep` newest folders (0: removes none). A failure leaves earlier checkpoints
 * intact. Takes samples, model and run from `info`, the rest from the trainer. */
int fsmoe_checkpoint_save(const char *dir, fsmoe_trainer_t trainer,
			  const struct fsmoe_checkpoint_info *info, int keep);

/* Loads parameters, moments, step and seed into a trainer. `path` is a step's folder, or a folder
 * with a file `latest`. `model` (may be NULL) is what the trainer was built with: -EINVAL if the
 * checkpoint's model differs in more than drops, auxiliary losses, degrees, dispatch and order.
 * Reads and checks everything before it changes the trainer. -ENOENT: there is no checkpoint;
 * -EPROTO: it is damaged. Fills info (may be NULL). */
int fsmoe_checkpoint_load(const char *path, fsmoe_trainer_t trainer,
			  const struct fsmoe_model_spec *model, struct fsmoe_checkpoint_info *info);

/* Loads the parameters alone into the memory of a graph that has the same ones, before a program is
 * made of it: for generation. comms may be NULL (one rank); the rest as fsmoe_checkpoint_load. */
int fsmoe_checkpoint_load_weights(const char *path, fsmoe_graph_t graph, fsmoe_memory_t memory,
				  fsmoe_comms_t comms, const struct fsmoe_model_spec *model,
				  struct fsmoe_checkpoint_info *info);

/* Reads the manifest alone; local. The caller frees the info. -ENOENT: there is no checkpoint;
 * -EPROTO: it is damaged. */
int fsmoe_checkpoint_read_info(const char *path, struct fsmoe_checkpoint_info *info);

/* Compares names and shapes of a graph's parameters with those of a checkpoint; prints both in two
 * columns to `out` (may be NULL), differences marked. Returns the number of differences, or a
 * failure as fsmoe_checkpoint_read_info. Local. */
int fsmoe_checkpoint_compare(const char *path, fsmoe_graph_t graph, FILE *out);

#ifdef __cplusplus
}
#endif
#endif
