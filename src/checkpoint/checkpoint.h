/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CHECKPOINT_CHECKPOINT_H
#define FSMOE_CHECKPOINT_CHECKPOINT_H

#include "checkpoint/manifest.h"
#include "checkpoint/safetensors.h"
#include "comm/comm.h"

#include <fsmoe/checkpoint.h>
#include <limits.h>

/* Kinds of tensors that are stored for every parameter. */
enum fsmoe_checkpoint_kind
{
	FSMOE_CHECKPOINT_WEIGHT,
	FSMOE_CHECKPOINT_EXP_AVG,
	FSMOE_CHECKPOINT_EXP_AVG_SQ,
	FSMOE_CHECKPOINT_KINDS
};

/* Files that hold them. */
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

/* Appends the tensors that a parameter is stored as, one or more, to *list of *n, which grows by
 * realloc. */
int fsmoe_stored_append(struct fsmoe_stored **list, int *n, int param,
			const struct fsmoe_param_spec *spec);

/* --- what is where (map.c) ---------------------------------------------------------------- */

/* Where tensors are copied from or to: a program's, or plain memory. */
struct fsmoe_checkpoint_target
{
	fsmoe_graph_t graph;
	fsmoe_memory_t memory;
	fsmoe_program_t program; /* NULL: none yet */
	fsmoe_comms_t comms;     /* NULL: one rank */
};

/* The parameters of a graph as stored tensors, with the rank that writes each slice. The tensor of
 * kind k and stored s has the number k * n + s. */
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
	char *owner; /* [rank][param]: 1 if that rank writes its slice */
	int *twin;   /* [param]: the rank that writes this rank's slice */
};

/* Collective. kinds: 1 or FSMOE_CHECKPOINT_KINDS; a graph without moments has 1. */
int fsmoe_checkpoint_map_init(struct fsmoe_checkpoint_map *map,
			      const struct fsmoe_checkpoint_target *target, int kinds);
/* Makes the list of stored tensors alone; local. */
int fsmoe_checkpoint_map_list(struct fsmoe_checkpoint_map *map, fsmoe_graph_t graph, int kinds);
void fsmoe_checkpoint_map_free(struct fsmoe_checkpoint_map *map);

/* Writes "h.0.ln_1.weight.exp_avg". Returns buffer. */
const char *fsmoe_checkpoint_name(const struct fsmoe_checkpoint_map *map, int id, char *buffer,
				  size_t size);
enum fsmoe_checkpoint_file fsmoe_checkpoint_file_of(const struct fsmoe_checkpoint_map *map, int id);
/* The tensor that holds the moments of a bucket, or the bucket itself. */
fsmoe_tensor_t fsmoe_checkpoint_part(const struct fsmoe_checkpoint_map *map, fsmoe_tensor_t bucket,
				     enum fsmoe_checkpoint_kind kind);

/* Collective: every rank returns the failure of the first rank that has one, with its sentence. */
int fsmoe_checkpoint_agree(const struct fsmoe_checkpoint_map *map, int err);

/* Collective: combines the raw CRC32C of slices to those of whole tensors, by tensor number. check:
 * 1 if ranks that hold the same slice must have the same raw value (-EIO names the tensor); 0: only
 * the owners' values count. */
int fsmoe_checkpoint_combine(const struct fsmoe_checkpoint_map *map, const uint32_t *raw, int check,
			     uint32_t *crc);

/* --- tensors in files (transfer.c) --------------------------------------------------------- */

/* The files of a checkpoint while tensors are written or read, and the tensors by number. */
struct fsmoe_checkpoint_files
{
	int n;
	struct fsmoe_safetensors file[FSMOE_CHECKPOINT_FILES];
	int fd[FSMOE_CHECKPOINT_FILES];         /* -1: not open */
	const struct fsmoe_safetensor **tensor; /* place in its file */
	uint32_t *raw;                          /* checksum of this rank's part */
	uint32_t *crc;                          /* checksum of the whole tensor */
};

/* All local. Free the files after a failure, too. */
int fsmoe_checkpoint_files_init(struct fsmoe_checkpoint_files *files,
				const struct fsmoe_checkpoint_map *map);
int fsmoe_checkpoint_files_open(struct fsmoe_checkpoint_files *files, const char *folder,
				int flags);
int fsmoe_checkpoint_files_close(struct fsmoe_checkpoint_files *files);
void fsmoe_checkpoint_files_free(struct fsmoe_checkpoint_files *files); /* closes them */

/* Writes or reads all bytes at a place in a file. */
int fsmoe_checkpoint_move_bytes(int fd, void *data, size_t bytes, uint64_t at, const char *path,
				int write);
/* Writes what this rank owns of a bucket of weights or moments, or reads what it holds. */
int fsmoe_checkpoint_transfer(struct fsmoe_checkpoint_files *files,
			      const struct fsmoe_checkpoint_map *map, fsmoe_tensor_t bucket,
			      int kind, float *data, int write);
/* Collective: calls fn for every bucket, by its first parameter, and kind, up to the first failure
 * on any rank. */
int fsmoe_checkpoint_each_bucket(const struct fsmoe_checkpoint_map *map,
				 int (*fn)(void *arg, int param, int kind), void *arg);

/* --- folders (folder.c): local, called by rank 0 ------------------------------------------ */

/* DIR/step-000123, and its name while it is written. */
struct fsmoe_checkpoint_folder
{
	char dir[PATH_MAX], final[PATH_MAX], part[PATH_MAX];
	char name[32];
};

int fsmoe_checkpoint_folder_name(struct fsmoe_checkpoint_folder *folder, const char *dir,
				 uint64_t step);
/* Makes an empty folder->part, and removes those of interrupted saves. */
int fsmoe_checkpoint_folder_begin(const struct fsmoe_checkpoint_folder *folder);
/* Renames it to folder->final and lets `latest` name it. */
int fsmoe_checkpoint_folder_end(const struct fsmoe_checkpoint_folder *folder);
void fsmoe_checkpoint_folder_discard(const struct fsmoe_checkpoint_folder *folder);
void fsmoe_checkpoint_folder_prune(const struct fsmoe_checkpoint_folder *folder, int keep);
/* Finds the step's folder for a path: itself, or the one that its `latest` names. */
int fsmoe_checkpoint_folder_find(const char *path, char *found, size_t size);

/* --- saving and loading (save.c, load.c) -------------------------------------------------- */

int fsmoe_checkpoint_write(const char *dir, const struct fsmoe_checkpoint_target *target,
			   const struct fsmoe_checkpoint_info *info, int keep);
/* kinds: 1 for the parameters alone. */
int fsmoe_checkpoint_read(const char *path, const struct fsmoe_checkpoint_target *target, int kinds,
			  const struct fsmoe_model_spec *model, struct fsmoe_checkpoint_info *info);

#endif
