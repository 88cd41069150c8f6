/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "checkpoint/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <fsmoe/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A save. Every rank computes the same headers; rank 0 makes the files, and each rank writes what
 * it owns into them. */
struct save
{
	struct fsmoe_checkpoint_map map;
	struct fsmoe_checkpoint_folder folder;
	struct fsmoe_checkpoint_files files;
	float *buffer; /* one bucket */
};

/* --- what goes where ---------------------------------------------------------------------- */

/* Lays out the tensors of one file in the order of their numbers. */
static int plan_file(struct save *s, int file)
{
	const struct fsmoe_checkpoint_map *map = &s->map;
	const int first = file == FSMOE_CHECKPOINT_MODEL ? 0 : map->n,
		  end = file == FSMOE_CHECKPOINT_MODEL ? map->n : map->kinds * map->n;
	struct fsmoe_safetensor *list = calloc((size_t)(end - first), sizeof(*list));
	char(*name)[300] = calloc((size_t)(end - first), sizeof(*name));
	int err = 0;

	if (!list || !name)
		err = fsmoe_fail(ENOMEM, "no memory for the list of a checkpoint's tensors");
	for (int id = first; id < end && !err; id++)
	{
		list[id - first].name =
			(char *)fsmoe_checkpoint_name(map, id, name[id - first], sizeof(*name));
		list[id - first].shape = map->stored[id % map->n].shape;
	}
	if (!err)
		err = fsmoe_safetensors_plan(&s->files.file[file],
					     fsmoe_checkpoint_file_names[file], list,
					     (size_t)(end - first));
	for (int id = first; id < end && !err; id++)
		s->files.tensor[id] = &s->files.file[file].tensor[id - first];
	free(list);
	free(name);
	return err;
}

static size_t largest_bucket(const struct fsmoe_checkpoint_map *map)
{
	size_t most = 0;

	for (int p = 0; p < map->nparams; p++)
	{
		const size_t n = fsmoe_shape_count(&map->tensors[map->params[p].bucket].shape);

		most = n > most ? n : most;
	}
	return most;
}

static int prepare(struct save *s)
{
	int err = fsmoe_checkpoint_files_init(&s->files, &s->map);

	if (err)
		return err;
	s->buffer = malloc(largest_bucket(&s->map) * sizeof(*s->buffer));
	if (!s->buffer)
		return fsmoe_fail(ENOMEM, "no memory to save a checkpoint: one layer's parameters "
					  "are copied at a time");
	for (int file = 0; file < s->files.n && !err; file++)
		err = plan_file(s, file);
	return err;
}

/* --- files -------------------------------------------------------------------------------- */

/* Makes a file of full size with its header, so that a full disk fails here if space can be
 * reserved. */
static int make_file(const struct save *s, int file)
{
	const struct fsmoe_safetensors *f = &s->files.file[file];
	char path[PATH_MAX];
	int err = fsmoe_path_join(path, sizeof(path), s->folder.part, f->path), fd, code;

	if (err)
		return err;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return fsmoe_fail(errno, "cannot write %s: %s", path, strerror(errno));
	code = posix_fallocate(fd, 0, (off_t)f->bytes);
	/* Some file systems cannot reserve space: then the file only gets its length. */
	if (code == EOPNOTSUPP || code == EINVAL)
		code = ftruncate(fd, (off_t)f->bytes) ? errno : 0;
	if (code)
		err = fsmoe_fail(code, "cannot write %s of %llu bytes: %s", path,
				 (unsigned long long)f->bytes, strerror(code));
	if (!err)
		err = fsmoe_checkpoint_move_bytes(fd, f->header, f->header_bytes, 0, path, 1);
	if (close(fd) && !err)
		err = fsmoe_fail(errno, "cannot write %s: %s", path, strerror(errno));
	return err;
}

static int begin_folder(struct save *s, uint64_t token)
{
	char path[PATH_MAX];
	int err = fsmoe_checkpoint_folder_begin(&s->folder);

	for (int file = 0; file < s->files.n && !err; file++)
		err = make_file(s, file);
	if (!err)
		err = fsmoe_path_join(path, sizeof(path), s->folder.part, "token");
	return err ? err : fsmoe_file_write_synced(path, &token, sizeof(token));
}

/* Checks that this rank sees the folder that rank 0 made; on another host that may take a while. */
static int see_folder(const struct save *s, uint64_t token)
{
	char path[PATH_MAX];
	uint64_t seen = ~token;
	int err = fsmoe_path_join(path, sizeof(path), s->folder.part, "token");

	for (int tries = 0; tries < 100 && !err && seen != token; tries++)
	{
		FILE *file = fopen(path, "re");

		if (tries)
			nanosleep(&(struct timespec){.tv_nsec = 50 * 1000000}, NULL);
		if (file && fread(&seen, sizeof(seen), 1, file) != 1)
			seen = ~token;
		if (file)
			fclose(file);
	}
	if (!err && seen != token)
		err = fsmoe_fail(ENOENT,
				 "rank %d does not see the folder %s that rank 0 made: checkpoints "
				 "must be on a file system that all ranks share",
				 s->map.rank, s->folder.part);
	return err;
}

/* --- tensors ------------------------------------------------------------------------------ */

static int fetch_bucket(struct save *s, fsmoe_tensor_t part)
{
	const struct fsmoe_checkpoint_target *t = &s->map.target;
	const size_t bytes = fsmoe_shape_count(&s->map.tensors[part].shape) * sizeof(float);

	if (t->program)
		return fsmoe_program_read(t->program, part, s->buffer, bytes);
	memcpy(s->buffer, fsmoe_memory_data(t->memory, part), bytes);
	return 0;
}

/* Writes what this rank owns of one bucket, at once on the disk, so that no rank waits long for
 * another without a sign of life. */
static int write_bucket(void *arg, int param, int kind)
{
	struct save *s = arg;
	const fsmoe_tensor_t bucket = s->map.params[param].bucket;
	const int file = (int)fsmoe_checkpoint_file_of(&s->map, kind * s->map.n);
	int err = fetch_bucket(s, fsmoe_checkpoint_part(&s->map, bucket, kind));

	if (!err)
		err = fsmoe_checkpoint_transfer(&s->files, &s->map, bucket, kind, s->buffer, 1);
	if (!err && fdatasync(s->files.fd[file]))
		err = fsmoe_fail(errno, "cannot write %s: %s", s->files.file[file].path,
				 strerror(errno));
	return err;
}

/* --- the manifest ------------------------------------------------------------------------- */

static int fill_manifest(const struct save *s, json_t *json)
{
	const struct fsmoe_checkpoint_map *map = &s->map;
	int err = 0;

	for (int file = 0; file < s->files.n && !err; file++)
	{
		const struct fsmoe_safetensors *f = &s->files.file[file];

		err = fsmoe_manifest_add_file(
			json, f->path,
			&(struct fsmoe_manifest_file){f->bytes,
						      fsmoe_crc32c(f->header, f->header_bytes)});
	}
	for (int id = 0; id < map->kinds * map->n && !err; id++)
		err = fsmoe_manifest_add_tensor(
			json, s->files.tensor[id]->name,
			&(struct fsmoe_manifest_tensor){
				s->files.file[fsmoe_checkpoint_file_of(map, id)].path,
				s->files.tensor[id]->shape, s->files.crc[id]});
	return err;
}

static int end_folder(const struct save *s, const struct fsmoe_checkpoint_info *info)
{
	char path[PATH_MAX], *text = NULL;
	json_t *json = NULL;
	int err = fsmoe_path_join(path, sizeof(path), s->folder.part, "token");

	if (!err && unlink(path))
		err = fsmoe_fail(errno, "cannot remove %s: %s", path, strerror(errno));
	if (!err)
		err = fsmoe_path_join(path, sizeof(path), s->folder.part, "manifest.json");
	if (!err)
		err = fsmoe_manifest_begin(&json, info);
	if (!err)
		err = fill_manifest(s, json);
	if (!err)
		err = fsmoe_manifest_text(json, &text);
	if (!err)
		err = fsmoe_file_write_synced(path, text, strlen(text));
	json_decref(json);
	free(text);
	return err ? err : fsmoe_checkpoint_folder_end(&s->folder);
}

/* --- the whole ---------------------------------------------------------------------------- */

static int write_checkpoint(struct save *s, const struct fsmoe_checkpoint_info *info)
{
	const struct fsmoe_checkpoint_map *map = &s->map;
	uint64_t token = (uint64_t)(1e6 * fsmoe_clock()) ^ (uint64_t)getpid() << 40;
	int err = fsmoe_checkpoint_agree(map, prepare(s));

	if (err)
		return err;
	if (map->rank == 0)
		err = begin_folder(s, token);
	err = fsmoe_checkpoint_agree(map, err);
	if (!err && map->world)
		err = fsmoe_comm_broadcast(map->world, &token, sizeof(token), 0);
	if (err)
		return err;
	err = see_folder(s, token);
	if (!err)
		err = fsmoe_checkpoint_files_open(&s->files, s->folder.part, O_WRONLY);
	err = fsmoe_checkpoint_agree(map, err);
	if (!err)
		err = fsmoe_checkpoint_each_bucket(map, write_bucket, s);
	if (err)
		return err;
	err = fsmoe_checkpoint_agree(map, fsmoe_checkpoint_files_close(&s->files));
	if (!err)
		err = fsmoe_checkpoint_combine(map, s->files.raw, 0, s->files.crc);
	if (err)
		return err;
	return fsmoe_checkpoint_agree(map, map->rank == 0 ? end_folder(s, info) : 0);
}

int fsmoe_checkpoint_write(const char *dir, const struct fsmoe_checkpoint_target *target,
			   const struct fsmoe_checkpoint_info *info, int keep)
{
	struct save s = {.buffer = NULL};
	int err = fsmoe_checkpoint_map_init(&s.map, target, FSMOE_CHECKPOINT_KINDS);

	if (err)
		return err;
	err = fsmoe_checkpoint_folder_name(&s.folder, dir, info->step);
	if (!err)
		err = write_checkpoint(&s, info);
	if (s.map.rank == 0 && err)
		fsmoe_checkpoint_folder_discard(&s.folder);
	if (s.map.rank == 0 && !err)
		fsmoe_checkpoint_folder_prune(&s.folder, keep);
	fsmoe_checkpoint_files_free(&s.files);
	free(s.buffer);
	fsmoe_checkpoint_map_free(&s.map);
	return err;
}
