/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CHECKPOINT_CHECKPOINT_H
#define FSMOE_CHECKPOINT_CHECKPOINT_H

#include "checkpoint/manifest.h"
#include "checkpoint/safetensors.h"
#include "comm/comm.h"

#include <fsmoe/checkpoint.h>
#include <limits.h>

/* Kinds of tensors that are stored of every parameter. */
enum fsmoe_checkpoint_kind
{
	FSMOE_CHECKPOINT_WEIGHT,
	FSMOE_CHECKPOINT_EXP_AVG,
	FSMOE_CHECKPOINT_EXP_AVG_SQ,
	FSMOE_CHECKPOINT_KINDS
};

/* The files they are in. */
enum fsmoe_checkpoint_file
{
	FSMOE_CHECKPOINT_MODEL,
	FSMOE_CHECKPOINT_OPTIMIZER,
	FSMOE_CHECKPOINT_FILES
};
extern const char *const fsmoe_checkpoint_file_names[FSMOE_CHECKPOINT_FILES];

/* --- names (names.c) ---------------------------------------------------------------------- */

/* A stored tensor: `count` elements of a parameter's global array, from `first` on. */
struct fsmoe_stored
{
	char *name;
	int param;
	struct fsmoe_shape shape;
	size_t first, count;
};

/* The tensors that a parameter is stored as, one or more, appended to *list (n of them; room grows
 * by realloc). */
int fsmoe_stored_append(struct fsmoe_stored **list, int *n, int param,
			const struct fsmoe_param_spec *spec);

/* --- what is where (map.c) ---------------------------------------------------------------- */

/* Where tensors are read from or written to. Without a program it is plain memory. */
struct fsmoe_checkpoint_target
{
	fsmoe_graph_t graph;
	fsmoe_memory_t memory;
	fsmoe_program_t program; /* NULL: none yet */
	fsmoe_comms_t comms;     /* NULL: one rank */
};

/* The parameters of a graph as stored tensors, and which rank answers for which part. The tensor
 * of kind k and stored s has the number k * n + s. */
struct fsmoe_checkpoint_map
{
	struct fsmoe_checkpoint_target target;
	struct fsmoe_comm *world; /* NULL: one rank */
	int rank, ranks;
	int kinds; /* 1 or FSMOE_CHECKPOINT_KINDS */
	const struct fsmoe_param *params;
	const struct fsmoe_tensor_info *tensors;
	int nparams;
	struct fsmoe_stored *stored;
	int n;
	char *owner; /* [rank][param]: that rank writes its slice of it */
	int *twin;   /* [param]: the rank that writes what this rank holds */
};

/* Collective. kinds: 1 or FSMOE_CHECKPOINT_KINDS; without moments in the graph it is 1. */
int fsmoe_checkpoint_map_init(struct fsmoe_checkpoint_map *map,
			      const struct fsmoe_checkpoint_target *target, int kinds);
/* Local: the list of stored tensors alone. */
int fsmoe_checkpoint_map_list(struct fsmoe_checkpoint_map *map, fsmoe_graph_t graph, int kinds);
void fsmoe_checkpoint_map_free(struct fsmoe_checkpoint_map *map);

/* "h.0.ln_1.weight.exp_avg". Returns buffer. */
const char *fsmoe_checkpoint_name(const struct fsmoe_checkpoint_map *map, int id, char *buffer,
				  size_t size);
enum fsmoe_checkpoint_file fsmoe_checkpoint_file_of(const struct fsmoe_checkpoint_map *map, int id);
/* The tensor that holds the moments of a bucket, or the bucket itself. */
fsmoe_tensor_t fsmoe_checkpoint_part(const struct fsmoe_checkpoint_map *map, fsmoe_tensor_t bucket,
				     enum fsmoe_checkpoint_kind kind);

/* A run of elements that lie together both here and in the parameter's global array. */
struct fsmoe_run
{
	size_t local, global, count;
};
/* This rank's runs of a stored tensor, in ascending order; ends at the first failure. */
int fsmoe_checkpoint_runs(const struct fsmoe_checkpoint_map *map, const struct fsmoe_stored *stored,
			  int (*fn)(const struct fsmoe_run *run, void *arg), void *arg);

/* Collective: the failure of the first rank that has one becomes everybody's. */
int fsmoe_checkpoint_agree(const struct fsmoe_checkpoint_map *map, int err);

/* Collective: the CRC32C of every tensor from the raw ones of its slices, `raw` and `crc` by
 * tensor number. check: ranks that hold the same slice must have the same raw one, -EIO names the
 * tensor otherwise; else only owners' count. */
int fsmoe_checkpoint_combine(const struct fsmoe_checkpoint_map *map, const uint32_t *raw, int check,
			     uint32_t *crc);

/* --- folders (folder.c): local, called by rank 0 ------------------------------------------ */

/* DIR/step-000123 and the name it has while it is written. */
struct fsmoe_checkpoint_folder
{
	char dir[PATH_MAX], final[PATH_MAX], part[PATH_MAX];
	char name[32];
};

int fsmoe_checkpoint_folder_name(struct fsmoe_checkpoint_folder *folder, const char *dir,
				 uint64_t step);
/* Makes an empty folder->part; what interrupted saves left is removed. */
int fsmoe_checkpoint_folder_begin(const struct fsmoe_checkpoint_folder *folder);
/* Gives it its name, points `latest` to it. */
int fsmoe_checkpoint_folder_end(const struct fsmoe_checkpoint_folder *folder);
void fsmoe_checkpoint_folder_discard(const struct fsmoe_checkpoint_folder *folder);
void fsmoe_checkpoint_folder_prune(const struct fsmoe_checkpoint_folder *folder, int keep);
/* The step's folder that `path` means: itself, or what its `latest` names. */
int fsmoe_checkpoint_folder_find(const char *path, char *found, size_t size);

/* --- saving and loading (save.c, load.c) -------------------------------------------------- */

int fsmoe_checkpoint_write(const char *dir, const struct fsmoe_checkpoint_target *target,
			   const struct fsmoe_checkpoint_info *info, int keep);
/* kinds: 1 for the parameters alone. */
int fsmoe_checkpoint_read(const char *path, const struct fsmoe_checkpoint_target *target, int kinds,
			  const struct fsmoe_model_spec *model, struct fsmoe_checkpoint_info *info);

#endif
