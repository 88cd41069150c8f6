/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CHECKPOINT_MATCH_H
#define FSMOE_CHECKPOINT_MATCH_H

#include "checkpoint/checkpoint.h"

/* A checkpoint's folder held against the parameters of a graph: which tensor is where. Local. */
struct fsmoe_checkpoint_match
{
	char folder[PATH_MAX]; /* set before */
	struct fsmoe_manifest manifest;
	int files;
	struct fsmoe_safetensors file[FSMOE_CHECKPOINT_FILES];
	const struct fsmoe_safetensor **tensor; /* by number */
	uint32_t *crc;                          /* by number: what the manifest says */
};

/* Reads the manifest and the files' headers. -EPROTO: damaged; -EINVAL: of another model, with the
 * names and shapes that differ. model may be NULL. */
int fsmoe_checkpoint_match_open(struct fsmoe_checkpoint_match *match,
				const struct fsmoe_checkpoint_map *map,
				const struct fsmoe_model_spec *model);
void fsmoe_checkpoint_match_free(struct fsmoe_checkpoint_match *match);

#endif
