/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CHECKPOINT_SAFETENSORS_H
#define FSMOE_CHECKPOINT_SAFETENSORS_H

#include <fsmoe/graph.h>

/*
 * Safetensors files of 32-bit floats: eight bytes (little-endian) that say how long the header is,
 * the header (a JSON object: name -> dtype, shape, data_offsets), the data without holes.
 */
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

/* For a file to be written: names and shapes are given (names copied), offsets and header are
 * computed; the same input gives the same bytes. -EINVAL: a name twice, or not UTF-8. */
int fsmoe_safetensors_plan(struct fsmoe_safetensors *file, const char *path,
			   const struct fsmoe_safetensor *tensor, size_t n);

/* Reads the header of a file and checks all that can be known without the data: -EPROTO with a
 * sentence that names the file and the tensor. Data are not read. */
int fsmoe_safetensors_open(struct fsmoe_safetensors *file, const char *path);

/* Of a file that was opened: by name, or NULL. */
const struct fsmoe_safetensor *fsmoe_safetensors_find(const struct fsmoe_safetensors *file,
						      const char *name);
void fsmoe_safetensors_free(struct fsmoe_safetensors *file); /* zeroed ones are legal */

int fsmoe_shape_equal(const struct fsmoe_shape *a, const struct fsmoe_shape *b);

#endif
