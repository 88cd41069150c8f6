/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CHECKPOINT_MATCH_H
#define FSMOE_CHECKPOINT_MATCH_H

#include "checkpoint/checkpoint.h"

/* A checkpoint's folder compared with the parameters of a graph. Local. */
struct fsmoe_checkpoint_match
{
	char folder[PATH_MAX];               /* set before */
	struct fsmoe_checkpoint_files files; /* initialized before */
	struct fsmoe_manifest manifest;
	uint32_t *known; /* by number: the manifest's checksum */
};

/* Reads the manifest and the files' headers, and finds every tensor's place. -EPROTO: damaged;
 * -EINVAL: of another model, with the names and shapes that differ. model may be NULL. */
int fsmoe_checkpoint_match_open(struct fsmoe_checkpoint_match *match,
				const struct fsmoe_checkpoint_map *map,
				const struct fsmoe_model_spec *model);
void fsmoe_checkpoint_match_free(struct fsmoe_checkpoint_match *match);

#endif
