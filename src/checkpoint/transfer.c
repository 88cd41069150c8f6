/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc32c.h"
#include "base/file.h"
#include "checkpoint/checkpoint.h"
#include "graph/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- files -------------------------------------------------------------------------------- */

int fsmoe_checkpoint_files_init(struct fsmoe_checkpoint_files *f,
				const struct fsmoe_checkpoint_map *map)
{
	const size_t n = (size_t)(map->kinds * map->n);

	*f = (struct fsmoe_checkpoint_files){.n = map->kinds > 1 ? FSMOE_CHECKPOINT_FILES : 1,
					     .fd = {-1, -1},
					     .tensor = calloc(n, sizeof(*f->tensor)),
					     .raw = calloc(n, sizeof(*f->raw)),
					     .crc = calloc(n, sizeof(*f->crc))};
	return f->tensor && f->raw && f->crc
		       ? 0
		       : fsmoe_fail(ENOMEM, "no memory for a list of %zu tensors", n);
}

int fsmoe_checkpoint_files_open(struct fsmoe_checkpoint_files *f, const char *folder, int flags)
{
	char path[PATH_MAX];
	int err = 0;

	for (int i = 0; i < f->n && !err; i++)
	{
		err = fsmoe_path_join(path, sizeof(path), folder, fsmoe_checkpoint_file_names[i]);
		if (err)
			break;
		f->fd[i] = open(path, flags | O_CLOEXEC);
		if (f->fd[i] < 0)
			err = fsmoe_fail(errno, "cannot %s %s: %s",
					 flags == O_RDONLY ? "read" : "write", path,
					 strerror(errno));
	}
	return err;
}

int fsmoe_checkpoint_files_close(struct fsmoe_checkpoint_files *f)
{
	int err = 0;

	for (int i = 0; i < f->n; i++)
	{
		if (f->fd[i] >= 0 && close(f->fd[i]) && !err)
			err = fsmoe_fail(errno, "cannot write %s: %s", f->file[i].path,
					 strerror(errno));
		f->fd[i] = -1;
	}
	return err;
}

void fsmoe_checkpoint_files_free(struct fsmoe_checkpoint_files *f)
{
	fsmoe_checkpoint_files_close(f);
	for (int i = 0; i < f->n; i++)
		fsmoe_safetensors_free(&f->file[i]);
	free(f->tensor);
	free(f->raw);
	free(f->crc);
}

int fsmoe_checkpoint_move_bytes(int fd, void *data, size_t bytes, uint64_t at, const char *path,
				int write)
{
	char *here = data;

	while (bytes)
	{
		const ssize_t n = write ? pwrite(fd, here, bytes, (off_t)at)
					: pread(fd, here, bytes, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fsmoe_fail(n ? errno : EIO, "cannot %s %s: %s",
					  write ? "write" : "read", path,
					  n ? strerror(errno) : "it was truncated");
		here += n;
		at += (uint64_t)n;
		bytes -= (size_t)n;
	}
	return 0;
}

/* --- tensors ------------------------------------------------------------------------------ */

/* A stored tensor on its way between a file and the bucket that holds it. */
struct transfer
{
	struct fsmoe_checkpoint_files *files;
	const struct fsmoe_checkpoint_map *map;
	const struct fsmoe_stored *stored;
	float *data; /* the parameter's part here */
	int id, write;
	size_t at; /* elements that the checksum has seen */
};

/* Transfers `count` elements that lie together here, from `local` on, and in the parameter's global
 * array, from `global` on. */
static int transfer_run(struct transfer *t, size_t local, size_t global, size_t count)
{
	struct fsmoe_checkpoint_files *f = t->files;
	const int file = (int)fsmoe_checkpoint_file_of(t->map, t->id);
	const size_t first = global - t->stored->first, bytes = count * sizeof(float);
	const uint64_t place = f->tensor[t->id]->begin + first * sizeof(float);
	float *data = t->data + local;
	int err = fsmoe_checkpoint_move_bytes(f->fd[file], data, bytes, place, f->file[file].path,
					      t->write);

	if (err)
		return err;
	f->raw[t->id] = fsmoe_crc32c_zeros(f->raw[t->id], (first - t->at) * sizeof(float));
	f->raw[t->id] = fsmoe_crc32c_raw(f->raw[t->id], data, bytes);
	t->at = first + count;
	return 0;
}

/* Length of a run: the elements behind the last dimension that is cut. */
static size_t run_length(const struct fsmoe_param_spec *spec)
{
	size_t length = 1;

	for (int d = spec->global.ndim - 1; d >= 0; d--)
	{
		if (spec->parts[d] > 1)
			return length * spec->global.dim[d] / (size_t)spec->parts[d];
		length *= spec->global.dim[d];
	}
	return length;
}

/* Transfers this rank's runs of a stored tensor in ascending order, up to the first failure. */
static int transfer_runs(struct transfer *t)
{
	const struct fsmoe_checkpoint_map *map = t->map;
	const struct fsmoe_stored *s = t->stored;
	const struct fsmoe_param *p = &map->params[s->param];
	const size_t length = run_length(&p->spec), end = s->first + s->count;
	const size_t count = fsmoe_shape_count(&map->tensors[p->tensor].shape);
	size_t low = 0, high = length ? count / length : 0;
	const size_t runs = high;
	int err = 0;

	/* Find the first run that ends behind the tensor's start: global places ascend. */
	while (low < high)
	{
		const size_t middle = low + (high - low) / 2;

		if (fsmoe_param_global_index(&p->spec, middle * length) + length > s->first)
			high = middle;
		else
			low = middle + 1;
	}
	for (size_t i = low; i < runs && !err; i++)
	{
		size_t first = fsmoe_param_global_index(&p->spec, i * length), last, from;

		if (first >= end)
			break;
		last = first + length < end ? first + length : end;
		from = first > s->first ? first : s->first;
		err = transfer_run(t, i * length + (from - first), from, last - from);
	}
	return err;
}

static int transfer_tensor(struct fsmoe_checkpoint_files *files,
			   const struct fsmoe_checkpoint_map *map, int id, float *bucket, int write)
{
	const struct fsmoe_stored *stored = &map->stored[id % map->n];
	const size_t offset = map->tensors[map->params[stored->param].tensor].offset;
	struct transfer t = {files, map, stored, bucket + offset, id, write, 0};
	int err = transfer_runs(&t);

	files->raw[id] = fsmoe_crc32c_zeros(files->raw[id], (stored->count - t.at) * sizeof(float));
	return err;
}

int fsmoe_checkpoint_transfer(struct fsmoe_checkpoint_files *files,
			      const struct fsmoe_checkpoint_map *map, fsmoe_tensor_t bucket,
			      int kind, float *data, int write)
{
	int err = 0;

	for (int i = 0; i < map->n && !err; i++)
	{
		const int param = map->stored[i].param;

		if (map->params[param].bucket == bucket &&
		    (!write || map->owner[map->rank * map->nparams + param]))
			err = transfer_tensor(files, map, kind * map->n + i, data, write);
	}
	return err;
}

int fsmoe_checkpoint_each_bucket(const struct fsmoe_checkpoint_map *map,
				 int (*fn)(void *arg, int param, int kind), void *arg)
{
	int err = 0;

	for (int p = 0; p < map->nparams && !err; p++)
	{
		int first = 0; /* parameter of the bucket: it stands for all of them */

		while (map->params[first].bucket != map->params[p].bucket)
			first++;
		for (int kind = 0; first == p && kind < map->kinds && !err; kind++)
			err = fsmoe_checkpoint_agree(map, fn(arg, p, kind));
	}
	return err;
}
