/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc32c.h"
#include "checkpoint/checkpoint.h"
#include "graph/memory.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const fsmoe_checkpoint_file_names[FSMOE_CHECKPOINT_FILES] = {"model.safetensors",
									 "optimizer.safetensors"};

static const char *const suffixes[FSMOE_CHECKPOINT_KINDS] = {"", ".exp_avg", ".exp_avg_sq"};

const char *fsmoe_checkpoint_name(const struct fsmoe_checkpoint_map *map, int id, char *buffer,
				  size_t size)
{
	snprintf(buffer, size, "%s%s", map->stored[id % map->n].name, suffixes[id / map->n]);
	return buffer;
}

enum fsmoe_checkpoint_file fsmoe_checkpoint_file_of(const struct fsmoe_checkpoint_map *map, int id)
{
	return id < map->n ? FSMOE_CHECKPOINT_MODEL : FSMOE_CHECKPOINT_OPTIMIZER;
}

fsmoe_tensor_t fsmoe_checkpoint_part(const struct fsmoe_checkpoint_map *map, fsmoe_tensor_t bucket,
				     enum fsmoe_checkpoint_kind kind)
{
	char name[256];

	if (kind == FSMOE_CHECKPOINT_WEIGHT)
		return bucket;
	snprintf(name, sizeof(name), "%s%s", map->tensors[bucket].name, suffixes[kind]);
	return fsmoe_graph_find(map->target.graph, name);
}

int fsmoe_checkpoint_map_list(struct fsmoe_checkpoint_map *map, fsmoe_graph_t graph, int kinds)
{
	int n, err = 0;

	*map = (struct fsmoe_checkpoint_map){.target.graph = graph, .ranks = 1, .kinds = kinds};
	map->params = fsmoe_graph_params(graph, &map->nparams);
	map->tensors = fsmoe_graph_tensors(graph, &n);
	for (int p = 0; p < map->nparams && !err; p++)
		err = fsmoe_stored_append(&map->stored, &map->n, p, &map->params[p].spec);
	if (!err && map->n == 0)
		err = fsmoe_fail(EINVAL, "there is nothing to keep: the graph has no parameters");
	for (int p = 0; p < map->nparams && !err; p++)
		if (fsmoe_checkpoint_part(map, map->params[p].bucket, FSMOE_CHECKPOINT_EXP_AVG) ==
		    FSMOE_NONE)
			map->kinds = 1;
	return err;
}

/* The slice of a parameter that a rank holds, as one number. */
static int slice_of(const struct fsmoe_param_spec *spec)
{
	int slice = 0;

	for (int d = 0; d < spec->global.ndim; d++)
		slice = slice * (spec->parts[d] > 1 ? spec->parts[d] : 1) + spec->index[d];
	return slice;
}

static int slices_of(const struct fsmoe_param_spec *spec)
{
	int n = 1;

	for (int d = 0; d < spec->global.ndim; d++)
		n *= spec->parts[d] > 1 ? spec->parts[d] : 1;
	return n;
}

/* Chooses one rank of those that hold the same slice to write it: not always the first, so that all
 * ranks share the work. slices: [rank][param]. */
static int choose_owners(struct fsmoe_checkpoint_map *map, const int *slices)
{
	for (int p = 0; p < map->nparams; p++)
	{
		const int n = slices_of(&map->params[p].spec);

		for (int slice = 0; slice < n; slice++)
		{
			int holders = 0, chosen = -1;

			for (int r = 0; r < map->ranks; r++)
				holders += slices[r * map->nparams + p] == slice;
			if (holders == 0)
				return fsmoe_fail(EINVAL,
						  "no rank holds part %d of %d of parameter '%s'",
						  slice, n, map->params[p].spec.name);
			for (int r = 0, turn = p % holders; r < map->ranks && chosen < 0; r++)
				if (slices[r * map->nparams + p] == slice && turn-- == 0)
					chosen = r;
			map->owner[chosen * map->nparams + p] = 1;
			if (slices[map->rank * map->nparams + p] == slice)
				map->twin[p] = chosen;
		}
	}
	return 0;
}

static int find_owners(struct fsmoe_checkpoint_map *map)
{
	const size_t n = (size_t)map->nparams, ranks = (size_t)map->ranks;
	int *slices = calloc((ranks + 1) * n, sizeof(*slices)), *mine = slices + ranks * n;
	int err;

	map->owner = calloc(ranks * n, 1);
	map->twin = calloc(n, sizeof(*map->twin));
	err = slices && map->owner && map->twin
		      ? 0
		      : fsmoe_fail(ENOMEM, "no memory for the list of who holds what");
	err = fsmoe_checkpoint_agree(map, err);
	if (!err)
	{
		for (int p = 0; p < map->nparams; p++)
			mine[p] = slice_of(&map->params[p].spec);
		if (map->world)
			err = fsmoe_comm_allgather(map->world, mine, slices, n * sizeof(*slices));
		if (!err)
			err = choose_owners(map, slices);
	}
	free(slices);
	return err;
}

/* Checks that every rank has the same list: otherwise they would wait for each other. */
static int check_lists(const struct fsmoe_checkpoint_map *map)
{
	uint32_t crc = 0, all[map->ranks];
	int err;

	for (int i = 0; i < map->n; i++)
	{
		crc = fsmoe_crc32c_raw(crc, map->stored[i].name, strlen(map->stored[i].name) + 1);
		crc = fsmoe_crc32c_raw(crc, &map->stored[i].count, sizeof(map->stored[i].count));
	}
	if (!map->world)
		return 0;
	err = fsmoe_comm_allgather(map->world, &crc, all, sizeof(crc));
	for (int r = 0; r < map->ranks && !err; r++)
		if (all[r] != all[0])
			err = fsmoe_fail(EINVAL,
					 "rank %d has other parameters than rank 0: build the same "
					 "model on every rank",
					 r);
	return err;
}

int fsmoe_checkpoint_map_init(struct fsmoe_checkpoint_map *map,
			      const struct fsmoe_checkpoint_target *target, int kinds)
{
	struct fsmoe_comm *world = fsmoe_comms_get(target->comms, FSMOE_GROUP_WORLD);
	int err = fsmoe_checkpoint_map_list(map, target->graph, kinds);

	map->target = *target;
	map->world = world;
	map->ranks = world ? world->size : 1;
	map->rank = world ? world->rank : 0;
	if (!err && fsmoe_memory_real(target->memory) != FSMOE_F32)
		err = fsmoe_fail(EINVAL, "checkpoints hold floats; this memory holds doubles");
	err = fsmoe_checkpoint_agree(map, err);
	if (!err)
		err = check_lists(map);
	if (!err)
		err = find_owners(map);
	if (err)
		fsmoe_checkpoint_map_free(map);
	return err;
}

void fsmoe_checkpoint_map_free(struct fsmoe_checkpoint_map *map)
{
	for (int i = 0; i < map->n; i++)
		free(map->stored[i].name);
	free(map->stored);
	free(map->owner);
	free(map->twin);
	*map = (struct fsmoe_checkpoint_map){0};
}

/* --- among ranks -------------------------------------------------------------------------- */

int fsmoe_checkpoint_agree(const struct fsmoe_checkpoint_map *map, int err)
{
	char sentence[512];
	int all[map->ranks], first = 0, failed;

	if (!map->world)
		return err;
	failed = fsmoe_comm_allgather(map->world, &err, all, sizeof(err));
	if (failed)
		return failed;
	while (first < map->ranks && !all[first])
		first++;
	if (first == map->ranks)
		return 0;
	snprintf(sentence, sizeof(sentence), "%s", fsmoe_last_error());
	failed = fsmoe_comm_broadcast(map->world, sentence, sizeof(sentence), first);
	if (failed || first == map->rank)
		return failed ? failed : err;
	sentence[sizeof(sentence) - 1] = '\0';
	return fsmoe_fail(-all[first], "%s (rank %d)", sentence, first);
}

enum
{
	CHUNK = 1024 /* checksums exchanged at once: bounds the memory, not the result */
};

/* Combines one tensor's raw checksums of all ranks, `stride` apart. */
static int combine_one(const struct fsmoe_checkpoint_map *map, int id, const uint32_t *all,
		       size_t stride, uint32_t mine, int check, uint32_t *crc)
{
	const struct fsmoe_stored *s = &map->stored[id % map->n];
	uint32_t raw = 0;
	char name[300];

	for (int r = 0; r < map->ranks; r++)
		if (map->owner[r * map->nparams + s->param])
			raw ^= all[(size_t)r * stride];
	*crc = fsmoe_crc32c_final(raw, s->count * sizeof(float));
	if (check && all[(size_t)map->twin[s->param] * stride] != mine)
		return fsmoe_fail(EIO, "ranks %d and %d read different bytes of tensor '%s'",
				  map->twin[s->param], map->rank,
				  fsmoe_checkpoint_name(map, id, name, sizeof(name)));
	return 0;
}

int fsmoe_checkpoint_combine(const struct fsmoe_checkpoint_map *map, const uint32_t *raw, int check,
			     uint32_t *crc)
{
	uint32_t *all = calloc((size_t)map->ranks * CHUNK, sizeof(*all));
	int n = map->kinds * map->n, err, mismatch = 0;

	err = fsmoe_checkpoint_agree(
		map, all ? 0 : fsmoe_fail(ENOMEM, "no memory to exchange checksums"));
	for (int first = 0; first < n && !err; first += CHUNK)
	{
		const int count = n - first < CHUNK ? n - first : CHUNK;

		memcpy(all, raw + first, (size_t)count * sizeof(*all));
		if (map->world)
			err = fsmoe_comm_allgather(map->world, raw + first, all,
						   (size_t)count * sizeof(*all));
		for (int i = 0; i < count && !err; i++)
		{
			const int bad = combine_one(map, first + i, all + i, (size_t)count,
						    raw[first + i], check, &crc[first + i]);
			mismatch = mismatch ? mismatch : bad;
		}
	}
	free(all);
	return err ? err : fsmoe_checkpoint_agree(map, mismatch);
}
