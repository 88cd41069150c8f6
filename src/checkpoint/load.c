/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/checkpoint.h"
#include "checkpoint/match.h"

#include <errno.h>
#include <fcntl.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

/* A load. Every rank reads its slices into memory of its own; only if all have the right checksums
 * does any rank change what it was asked to fill. */
struct load
{
	struct fsmoe_checkpoint_map map;
	struct fsmoe_checkpoint_match match;
	float **staged; /* [kind][param]: a bucket, at its first parameter */
};

/* Reads one bucket of weights or moments. Gaps between parameters are zero, as in a new bucket. */
static int read_bucket(void *arg, int param, int kind)
{
	struct load *l = arg;
	const struct fsmoe_checkpoint_map *map = &l->map;
	const fsmoe_tensor_t bucket = map->params[param].bucket;
	const size_t count = fsmoe_shape_count(&map->tensors[bucket].shape);
	float *data = calloc(count, sizeof(*data));

	if (!data)
		return fsmoe_fail(ENOMEM,
				  "no memory for %zu bytes to check %s before it replaces what is "
				  "there: loading needs room for parameters and moments once more",
				  count * sizeof(*data), l->match.folder);
	l->staged[kind * map->nparams + param] = data;
	return fsmoe_checkpoint_transfer(&l->match.files, map, bucket, kind, data, 0);
}

static int check_sums(struct load *l)
{
	const struct fsmoe_checkpoint_map *map = &l->map;
	int err = fsmoe_checkpoint_combine(map, l->match.files.raw, 1, l->match.files.crc);
	char name[300];

	for (int id = 0; id < map->kinds * map->n && !err; id++)
		if (l->match.files.crc[id] != l->match.known[id])
			err = fsmoe_fail(EPROTO,
					 "tensor '%s' of %s is damaged: its bytes do not have "
					 "their checksum; use another checkpoint",
					 fsmoe_checkpoint_name(map, id, name, sizeof(name)),
					 l->match.folder);
	return err;
}

/* Copies what was read to its target; no failure here depends on the files. */
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

/* Takes the folder that rank 0 finds, so that all ranks read the same one. */
static int find_folder(struct load *l, const char *path)
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

static int check_manifest(const struct load *l)
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
	int err;

	l->staged = calloc((size_t)(map->kinds * map->nparams), sizeof(*l->staged));
	err = l->staged ? fsmoe_checkpoint_files_init(&l->match.files, map)
			: fsmoe_fail(ENOMEM, "no memory for the list of a checkpoint's tensors");
	err = fsmoe_checkpoint_agree(map, err);
	if (!err)
		err = find_folder(l, path);
	if (err)
		return err;
	err = fsmoe_checkpoint_match_open(&l->match, map, model);
	if (!err)
		err = fsmoe_checkpoint_files_open(&l->match.files, l->match.folder, O_RDONLY);
	err = fsmoe_checkpoint_agree(map, err);
	if (!err)
		err = check_manifest(l);
	if (!err)
		err = fsmoe_checkpoint_each_bucket(map, read_bucket, l);
	if (!err)
		err = check_sums(l);
	return err;
}

int fsmoe_checkpoint_read(const char *path, const struct fsmoe_checkpoint_target *target, int kinds,
			  const struct fsmoe_model_spec *model, struct fsmoe_checkpoint_info *info)
{
	struct load l = {.staged = NULL};
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
	free(l.staged);
	fsmoe_checkpoint_match_free(&l.match);
	fsmoe_checkpoint_map_free(&l.map);
	return err;
}
