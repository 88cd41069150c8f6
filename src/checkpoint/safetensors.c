/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <fsmoe/error.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "tensors are written as they lie in memory, and the format is little-endian");

enum
{
	PREFIX = 8,
	ALIGNMENT = 64,             /* of the data in the file, so that it can be mapped */
	MOST_HEADER = 100 * 1000000 /* the format's own limit */
};

int fsmoe_shape_equal(const struct fsmoe_shape *a, const struct fsmoe_shape *b)
{
	int equal = a->ndim == b->ndim;

	for (int d = 0; d < a->ndim && equal; d++)
		equal = a->dim[d] == b->dim[d];
	return equal;
}

void fsmoe_safetensors_free(struct fsmoe_safetensors *f)
{
	for (size_t i = 0; f->tensor && i < f->n; i++)
		free(f->tensor[i].name);
	free(f->tensor);
	free(f->header);
	free(f->path);
	*f = (struct fsmoe_safetensors){0};
}

static int no_memory(const char *path)
{
	return fsmoe_fail(ENOMEM, "no memory for the list of tensors of %s", path);
}

/* --- planning a file ---------------------------------------------------------------------- */

static json_t *entry(const struct fsmoe_safetensor *t, uint64_t data)
{
	json_t *shape = json_array();

	for (int d = 0; d < t->shape.ndim; d++)
		json_array_append_new(shape, json_integer((json_int_t)t->shape.dim[d]));
	return json_pack("{s:s, s:o, s:[I, I]}", "dtype", "F32", "shape", shape, "data_offsets",
			 (json_int_t)(t->begin - data), (json_int_t)(t->end - data));
}

/* Makes the header's text, offsets counted from 0; the caller frees it. */
static int header_text(const struct fsmoe_safetensors *f, char **text)
{
	json_t *root = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
	int err = root ? 0 : no_memory(f->path);

	for (size_t i = 0; i < f->n && !err; i++)
	{
		if (json_object_get(root, f->tensor[i].name))
			err = fsmoe_fail(EINVAL,
					 "two tensors would be stored as '%s' in %s: rename one of "
					 "the parameters",
					 f->tensor[i].name, f->path);
		else if (json_object_set_new(root, f->tensor[i].name, entry(&f->tensor[i], 0)))
			err = fsmoe_fail(EINVAL,
					 "'%s' cannot be stored in %s: its name is not UTF-8",
					 f->tensor[i].name, f->path);
	}
	*text = err ? NULL : json_dumps(root, JSON_COMPACT);
	json_decref(root);
	if (!err && !*text)
		err = no_memory(f->path);
	return err;
}

static int make_header(struct fsmoe_safetensors *f)
{
	char *text;
	int err = header_text(f, &text);
	size_t length, padded;

	if (err)
		return err;
	length = strlen(text);
	padded = (PREFIX + length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT - PREFIX;
	f->header_bytes = PREFIX + padded;
	f->header = malloc(f->header_bytes);
	if (f->header)
	{
		for (int i = 0; i < PREFIX; i++)
			f->header[i] = (char)((uint64_t)padded >> (8 * i));
		memcpy(f->header + PREFIX, text, length);
		memset(f->header + PREFIX + length, ' ', padded - length);
	}
	free(text);
	return f->header ? 0 : no_memory(f->path);
}

int fsmoe_safetensors_plan(struct fsmoe_safetensors *file, const char *path,
			   const struct fsmoe_safetensor *tensor, size_t n)
{
	struct fsmoe_safetensors f = {.path = strdup(path), .n = n};
	uint64_t at = 0;
	int err = 0;

	f.tensor = calloc(n + 1, sizeof(*f.tensor));
	if (!f.path || !f.tensor)
		err = no_memory(path);
	for (size_t i = 0; i < n && !err; i++)
	{
		f.tensor[i] = tensor[i];
		f.tensor[i].name = strdup(tensor[i].name);
		f.tensor[i].begin = at;
		at += sizeof(float) * fsmoe_shape_count(&tensor[i].shape);
		f.tensor[i].end = at;
		if (!f.tensor[i].name)
			err = no_memory(path);
	}
	if (!err)
		err = make_header(&f);
	if (err)
	{
		fsmoe_safetensors_free(&f);
		return err;
	}
	for (size_t i = 0; i < n; i++)
	{
		f.tensor[i].begin += f.header_bytes;
		f.tensor[i].end += f.header_bytes;
	}
	f.bytes = f.header_bytes + at;
	*file = f;
	return 0;
}

/* --- opening a file ----------------------------------------------------------------------- */

static int damaged(const struct fsmoe_safetensors *f, const char *what)
{
	return fsmoe_fail(EPROTO, "%s is damaged or no safetensors file: %s", f->path, what);
}

static int damaged_tensor(const struct fsmoe_safetensors *f, const char *name, const char *what)
{
	return fsmoe_fail(EPROTO, "tensor '%s' of %s %s", name, f->path, what);
}

static int read_shape(const struct fsmoe_safetensors *f, const char *name, const json_t *dims,
		      struct fsmoe_shape *shape, uint64_t *bytes)
{
	*bytes = sizeof(float);
	if (!json_is_array(dims))
		return damaged_tensor(f, name, "has no shape");
	if (json_array_size(dims) > FSMOE_MAX_DIMS)
		return damaged_tensor(f, name, "has more than four dimensions");
	shape->ndim = (int)json_array_size(dims);
	for (int d = 0; d < shape->ndim; d++)
	{
		const json_t *dim = json_array_get(dims, (size_t)d);
		const json_int_t n = json_integer_value(dim);

		if (!json_is_integer(dim) || n < 0 ||
		    __builtin_mul_overflow(*bytes, (uint64_t)n, bytes))
			return damaged_tensor(f, name, "has a shape that is none");
		shape->dim[d] = (size_t)n;
	}
	return 0;
}

static int read_entry(const struct fsmoe_safetensors *f, const char *name, const json_t *entry_json,
		      struct fsmoe_safetensor *t)
{
	const char *dtype = json_string_value(json_object_get(entry_json, "dtype"));
	const json_t *offsets = json_object_get(entry_json, "data_offsets");
	const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
	uint64_t bytes;
	int err;

	if (!dtype || json_object_size(entry_json) != 3)
		return damaged_tensor(f, name, "is not described by dtype, shape and data_offsets");
	if (strcmp(dtype, "F32"))
		return damaged_tensor(f, name, "is not of 32-bit floats (F32): convert the file");
	err = read_shape(f, name, json_object_get(entry_json, "shape"), &t->shape, &bytes);
	if (err)
		return err;
	if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
	    json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
		return damaged_tensor(f, name, "has no valid data_offsets");
	t->begin = (uint64_t)json_integer_value(begin);
	t->end = (uint64_t)json_integer_value(end);
	if (t->end - t->begin != bytes)
		return damaged_tensor(f, name, "has a shape that is not as long as its data");
	t->begin += f->header_bytes;
	t->end += f->header_bytes;
	t->name = strdup(name);
	return t->name ? 0 : no_memory(f->path);
}

static int by_data(const void *a, const void *b)
{
	const struct fsmoe_safetensor *x = a, *y = b;

	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	return (x->end > y->end) - (x->end < y->end);
}

static int by_name(const void *a, const void *b)
{
	const struct fsmoe_safetensor *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* Checks that tensors cover the data once: no hole, no overlap, nothing missing at the end. */
static int check_data(struct fsmoe_safetensors *f)
{
	uint64_t at = f->header_bytes;

	qsort(f->tensor, f->n, sizeof(*f->tensor), by_data);
	for (size_t i = 0; i < f->n; i++)
	{
		if (f->tensor[i].begin < at)
			return damaged_tensor(f, f->tensor[i].name, "overlaps another one's data");
		if (f->tensor[i].begin > at)
			return damaged_tensor(f, f->tensor[i].name, "begins after a hole");
		at = f->tensor[i].end;
	}
	if (at != f->bytes)
		return fsmoe_fail(EPROTO,
				  "%s has %llu bytes instead of %llu: it was cut or added to",
				  f->path, (unsigned long long)f->bytes, (unsigned long long)at);
	qsort(f->tensor, f->n, sizeof(*f->tensor), by_name);
	return 0;
}

static int check_metadata(const struct fsmoe_safetensors *f, json_t *metadata)
{
	const char *key;
	json_t *value;

	if (!json_is_object(metadata))
		return damaged(f, "__metadata__ is no object");
	json_object_foreach(metadata, key, value) if (!json_is_string(value)) return damaged(
		f, "__metadata__ holds more than strings");
	return 0;
}

static int read_entries(struct fsmoe_safetensors *f, json_t *root)
{
	const char *name;
	json_t *value;
	int err;

	f->tensor = calloc(json_object_size(root) + 1, sizeof(*f->tensor));
	if (!f->tensor)
		return no_memory(f->path);
	json_object_foreach(root, name, value)
	{
		if (!strcmp(name, "__metadata__"))
			err = check_metadata(f, value);
		else
			err = read_entry(f, name, value, &f->tensor[f->n++]);
		if (err)
			return err;
	}
	return check_data(f);
}

/* Reads the prefix and the header. */
static int read_header(struct fsmoe_safetensors *f, FILE *file)
{
	unsigned char prefix[PREFIX];
	uint64_t length = 0;

	if (f->bytes < PREFIX || fread(prefix, PREFIX, 1, file) != 1)
		return damaged(f, "it has fewer than eight bytes");
	for (int i = 0; i < PREFIX; i++)
		length |= (uint64_t)prefix[i] << (8 * i);
	if (length > MOST_HEADER || length > f->bytes - PREFIX)
		return damaged(f, "its header would be longer than the file or 100 MB");
	f->header_bytes = PREFIX + (size_t)length;
	f->header = malloc(f->header_bytes);
	if (!f->header)
		return no_memory(f->path);
	memcpy(f->header, prefix, PREFIX);
	if (length && fread(f->header + PREFIX, (size_t)length, 1, file) != 1)
		return damaged(f, "its header cannot be read");
	return 0;
}

static int read_file(struct fsmoe_safetensors *f, FILE *file)
{
	struct stat status;
	json_error_t error;
	json_t *root;
	int err;

	if (fstat(fileno(file), &status))
		return fsmoe_fail(errno, "cannot read %s: %s", f->path, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return damaged(f, "it is no regular file");
	f->bytes = (uint64_t)status.st_size;
	err = read_header(f, file);
	if (err)
		return err;
	root = json_loadb(f->header + PREFIX, f->header_bytes - PREFIX, JSON_REJECT_DUPLICATES,
			  &error);
	if (!json_is_object(root))
		err = damaged(f, root ? "its header is no object" : error.text);
	else
		err = read_entries(f, root);
	json_decref(root);
	return err;
}

int fsmoe_safetensors_open(struct fsmoe_safetensors *file, const char *path)
{
	struct fsmoe_safetensors f = {.path = strdup(path)};
	/* O_NONBLOCK: a pipe in the file's place must not block. */
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	FILE *stream = fd < 0 ? NULL : fdopen(fd, "r");
	int err;

	if (!stream)
		err = fsmoe_fail(errno, "cannot read %s: %s", path, strerror(errno));
	else
		err = f.path ? read_file(&f, stream) : no_memory(path);
	if (stream)
		fclose(stream);
	if (err)
		fsmoe_safetensors_free(&f);
	else
		*file = f;
	return err;
}

const struct fsmoe_safetensor *fsmoe_safetensors_find(const struct fsmoe_safetensors *f,
						      const char *name)
{
	const struct fsmoe_safetensor key = {.name = (char *)name};

	return bsearch(&key, f->tensor, f->n, sizeof(key), by_name);
}
