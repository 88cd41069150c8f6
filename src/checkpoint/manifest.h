/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CHECKPOINT_MANIFEST_H
#define FSMOE_CHECKPOINT_MANIFEST_H

#include "base/json.h"

#include <fsmoe/checkpoint.h>

/* manifest.json of a checkpoint: its model and training, which file holds which tensor, and
 * checksums of everything, itself included. */
struct fsmoe_manifest
{
	struct fsmoe_json json;
	uint32_t crc; /* of the manifest itself */
	struct fsmoe_checkpoint_info info;
};

struct fsmoe_manifest_tensor
{
	const char *file;
	struct fsmoe_shape shape;
	uint32_t crc;
};

struct fsmoe_manifest_file
{
	uint64_t bytes;
	uint32_t header_crc;
};

/* Writing: begin, add files and tensors in any order, then make the text. The caller frees both;
 * every call accepts a NULL json and fails with -ENOMEM. */
int fsmoe_manifest_begin(json_t **json, const struct fsmoe_checkpoint_info *info);
int fsmoe_manifest_add_file(json_t *json, const char *name, const struct fsmoe_manifest_file *file);
int fsmoe_manifest_add_tensor(json_t *json, const char *name,
			      const struct fsmoe_manifest_tensor *tensor);
int fsmoe_manifest_text(const json_t *json, char **text);

/* Reads a manifest: by its path, or that of a step's folder. -EPROTO: a byte is not as it was
 * written, or the format is newer. */
int fsmoe_manifest_read(struct fsmoe_manifest *manifest, const char *path);
int fsmoe_manifest_open(struct fsmoe_manifest *manifest, const char *folder);
void fsmoe_manifest_free(struct fsmoe_manifest *manifest); /* zeroed ones are legal */
/* -ENOENT without a sentence: there is none of that name. */
int fsmoe_manifest_find_file(const struct fsmoe_manifest *manifest, const char *name,
			     struct fsmoe_manifest_file *file);
int fsmoe_manifest_find_tensor(const struct fsmoe_manifest *manifest, const char *name,
			       struct fsmoe_manifest_tensor *tensor);

/* -EINVAL with the first value, of those that weights depend on, in which the models differ. */
int fsmoe_manifest_check_model(const struct fsmoe_manifest *manifest,
			       const struct fsmoe_model_spec *model);

#endif
