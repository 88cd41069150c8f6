/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CHECKPOINT_SAFETENSORS_H
#define FSMOE_CHECKPOINT_SAFETENSORS_H

#include <fsmoe/graph.h>

/* Safetensors files of 32-bit floats: eight bytes (little-endian) with the header's length, the
 * header (a JSON object: name -> dtype, shape, data_offsets), the data without holes. */
struct fsmoe_safetensor
{
	char *name;
	struct fsmoe_shape shape;
	uint64_t begin, end; /* bytes, from the start of the file */
};

struct fsmoe_safetensors
{
	char *path;
	struct fsmoe_safetensor *tensor; /* in the order of the data when written; by name when
					    read */
	size_t n;
	char *header; /* with the eight bytes before it */
	size_t header_bytes;
	uint64_t bytes; /* of the whole file */
};

/* Lays out a file to be written: computes offsets and header from names (copied) and shapes. The
 * same input gives the same bytes. -EINVAL: a name occurs twice, or is not UTF-8. */
int fsmoe_safetensors_plan(struct fsmoe_safetensors *file, const char *path,
			   const struct fsmoe_safetensor *tensor, size_t n);

/* Reads the header of a file and checks it without reading the data. -EPROTO names the file and the
 * tensor. */
int fsmoe_safetensors_open(struct fsmoe_safetensors *file, const char *path);

/* Finds a tensor of an opened file by its name, or NULL. */
const struct fsmoe_safetensor *fsmoe_safetensors_find(const struct fsmoe_safetensors *file,
						      const char *name);
void fsmoe_safetensors_free(struct fsmoe_safetensors *file); /* zeroed ones are legal */

int fsmoe_shape_equal(const struct fsmoe_shape *a, const struct fsmoe_shape *b);

#endif
