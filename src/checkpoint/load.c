/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc32c.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/match.h"

#include <errno.h>
#include <fcntl.h>
#include <fsmoe/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A load under way: every rank reads its slices into memory of its own, and only when all of them
 * have the right checksums does any rank change what it was asked to fill. */
struct load
{
	struct fsmoe_checkpoint_map map;
	struct fsmoe_checkpoint_match match;
	int fd[FSMOE_CHECKPOINT_FILES];
	uint32_t *raw, *crc; /* by number */
	float **staged;      /* [kind][param]: of a bucket, at its first parameter */
};

static int open_files(struct load *l)
{
	int err = 0;

	for (int file = 0; file < l->match.files && !err; file++)
	{
		const char *path = l->match.file[file].path;

		l->fd[file] = open(path, O_RDONLY | O_CLOEXEC);
		if (l->fd[file] < 0)
			err = fsmoe_fail(errno, "cannot read %s: %s", path, strerror(errno));
	}
	return err;
}

/* --- tensors ------------------------------------------------------------------------------ */

struct reading
{
	struct load *load;
	const struct fsmoe_stored *stored;
	float *data; /* of the parameter, here */
	int id;
	size_t at; /* elements that the checksum has seen */
};

static int read_all(int fd, void *data, size_t bytes, uint64_t at, const char *path)
{
	char *to = data;

	while (bytes)
	{
		const ssize_t n = pread(fd, to, bytes, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fsmoe_fail(n ? errno : EIO, "cannot read %s: %s", path,
					  n ? strerror(errno) : "it became shorter");
		to += n;
		at += (uint64_t)n;
		bytes -= (size_t)n;
	}
	return 0;
}

static int read_run(const struct fsmoe_run *run, void *arg)
{
	struct reading *r = arg;
	struct load *l = r->load;
	const int file = (int)fsmoe_checkpoint_file_of(&l->map, r->id);
	const size_t first = run->global - r->stored->first, bytes = run->count * sizeof(float);
	float *data = r->data + run->local;
	uint32_t raw = fsmoe_crc32c_zeros(l->raw[r->id], (first - r->at) * sizeof(float));
	int err = read_all(l->fd[file], data, bytes,
			   l->match.tensor[r->id]->begin + first * sizeof(float),
			   l->match.file[file].path);

	if (err)
		return err;
	l->raw[r->id] = fsmoe_crc32c_raw(raw, data, bytes);
	r->at = first + run->count;
	return 0;
}

static int read_tensor(struct load *l, int id, float *bucket)
{
	const struct fsmoe_checkpoint_map *map = &l->map;
	const struct fsmoe_stored *stored = &map->stored[id % map->n];
	struct reading r = {.load = l, .stored = stored, .id = id};
	int err;

	r.data = bucket + map->tensors[map->params[stored->param].tensor].offset;
	err = fsmoe_checkpoint_runs(map, stored, read_run, &r);
	l->raw[id] = fsmoe_crc32c_zeros(l->raw[id], (stored->count - r.at) * sizeof(float));
	return err;
}

/* One bucket: weights or moments. What lies between parameters is zero, as in a new one. */
static int read_bucket(struct load *l, int first, int kind)
{
	const struct fsmoe_checkpoint_map *map = &l->map;
	const fsmoe_tensor_t bucket = map->params[first].bucket;
	const size_t count = fsmoe_shape_count(&map->tensors[bucket].shape);
	float *data = calloc(count, sizeof(*data));
	int err = 0;

	if (!data)
		return fsmoe_fail(ENOMEM,
				  "no memory for %zu bytes to check %s before it replaces what is "
				  "there: loading needs room for parameters and moments once more",
				  count * sizeof(*data), l->match.folder);
	l->staged[kind * map->nparams + first] = data;
	for (int i = 0; i < map->n && !err; i++)
		if (map->params[map->stored[i].param].bucket == bucket)
			err = read_tensor(l, kind * map->n + i, data);
	return err;
}

static int is_first(const struct fsmoe_checkpoint_map *map, int param)
{
	for (int p = 0; p < param; p++)
		if (map->params[p].bucket == map->params[param].bucket)
			return 0;
	return 1;
}

static int read_buckets(struct load *l)
{
	const struct fsmoe_checkpoint_map *map = &l->map;
	int err = 0;

	for (int p = 0; p < map->nparams && !err; p++)
		for (int kind = 0; kind < map->kinds && !err && is_first(map, p); kind++)
			err = fsmoe_checkpoint_agree(map, read_bucket(l, p, kind));
	return err;
}

static int check_sums(struct load *l)
{
	const struct fsmoe_checkpoint_map *map = &l->map;
	int err = fsmoe_checkpoint_combine(map, l->raw, 1, l->crc);
	char name[300];

	for (int id = 0; id < map->kinds * map->n && !err; id++)
		if (l->crc[id] != l->match.crc[id])
			err = fsmoe_fail(EPROTO,
					 "tensor '%s' of %s is damaged: its bytes do not have "
					 "their checksum; use another checkpoint",
					 fsmoe_checkpoint_name(map, id, name, sizeof(name)),
					 l->match.folder);
	return err;
}

/* Nothing can fail here that depends on the files. */
static int put_buckets(const struct load *l)
{
	const struct fsmoe_checkpoint_map *map = &l->map;
	const struct fsmoe_checkpoint_target *t = &map->target;
	int err = 0;

	for (int i = 0; i < map->kinds * map->nparams && !err; i++)
	{
		const fsmoe_tensor_t part =
			fsmoe_checkpoint_part(map, map->params[i % map->nparams].bucket,
					      (enum fsmoe_checkpoint_kind)(i / map->nparams));
		const size_t bytes = fsmoe_shape_count(&map->tensors[part].shape) * sizeof(float);

		if (!l->staged[i])
			continue;
		if (t->program)
			err = fsmoe_program_write(t->program, part, l->staged[i], bytes);
		else
			memcpy(fsmoe_memory_data(t->memory, part), l->staged[i], bytes);
	}
	return err;
}

/* --- the whole ---------------------------------------------------------------------------- */

/* The folder that rank 0 finds, so that all read the same one. */
static int find(struct load *l, const char *path)
{
	const struct fsmoe_checkpoint_map *map = &l->map;
	char *folder = l->match.folder;
	int err =
		map->rank ? 0 : fsmoe_checkpoint_folder_find(path, folder, sizeof(l->match.folder));

	err = fsmoe_checkpoint_agree(map, err);
	if (!err && map->world)
		err = fsmoe_comm_broadcast(map->world, folder, sizeof(l->match.folder), 0);
	return err;
}

static int same_manifest(const struct load *l)
{
	const struct fsmoe_checkpoint_map *map = &l->map;
	uint32_t all[map->ranks], mine = l->match.manifest.crc;
	int err = map->world ? fsmoe_comm_allgather(map->world, &mine, all, sizeof(mine)) : 0;

	for (int r = 0; map->world && r < map->ranks && !err; r++)
		if (all[r] != all[0])
			err = fsmoe_fail(EINVAL,
					 "rank %d reads another %s than rank 0: copies of a "
					 "checkpoint must be the same",
					 r, l->match.folder);
	return err;
}

static int read_checkpoint(struct load *l, const char *path, const struct fsmoe_model_spec *model)
{
	const struct fsmoe_checkpoint_map *map = &l->map;
	const size_t n = (size_t)(map->kinds * map->n);
	int err;

	l->raw = calloc(n, sizeof(*l->raw));
	l->crc = calloc(n, sizeof(*l->crc));
	l->staged = calloc((size_t)(map->kinds * map->nparams), sizeof(*l->staged));
	err = l->raw && l->crc && l->staged
		      ? 0
		      : fsmoe_fail(ENOMEM, "no memory for the list of a checkpoint's tensors");
	err = fsmoe_checkpoint_agree(map, err);
	if (!err)
		err = find(l, path);
	if (err)
		return err;
	err = fsmoe_checkpoint_match_open(&l->match, map, model);
	err = fsmoe_checkpoint_agree(map, err ? err : open_files(l));
	if (!err)
		err = same_manifest(l);
	if (!err)
		err = read_buckets(l);
	if (!err)
		err = check_sums(l);
	return err;
}

int fsmoe_checkpoint_read(const char *path, const struct fsmoe_checkpoint_target *target, int kinds,
			  const struct fsmoe_model_spec *model, struct fsmoe_checkpoint_info *info)
{
	struct load l = {.fd = {-1, -1}};
	int err = fsmoe_checkpoint_map_init(&l.map, target, kinds);

	if (err)
		return err;
	err = read_checkpoint(&l, path, model);
	if (!err)
		err = fsmoe_checkpoint_agree(&l.map, put_buckets(&l));
	if (!err)
	{
		*info = l.match.manifest.info;
		l.match.manifest.info.run = NULL; /* the caller's now */
	}
	for (int i = 0; l.staged && i < l.map.kinds * l.map.nparams; i++)
		free(l.staged[i]);
	for (int file = 0; file < FSMOE_CHECKPOINT_FILES; file++)
		if (l.fd[file] >= 0)
			close(l.fd[file]);
	free(l.staged);
	free(l.raw);
	free(l.crc);
	fsmoe_checkpoint_match_free(&l.match);
	fsmoe_checkpoint_map_free(&l.map);
	return err;
}
