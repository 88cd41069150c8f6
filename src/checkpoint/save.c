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

/* A save under way. Every rank computes the same headers; rank 0 makes the files, all write what
 * they own into them. */
struct save
{
	struct fsmoe_checkpoint_map map;
	struct fsmoe_checkpoint_folder folder;
	struct fsmoe_safetensors file[FSMOE_CHECKPOINT_FILES];
	const struct fsmoe_safetensor **tensor; /* by number: where it goes */
	uint32_t *raw, *crc;                    /* by number */
	int files, fd[FSMOE_CHECKPOINT_FILES];
	float *buffer; /* one bucket */
};

/* --- what goes where ---------------------------------------------------------------------- */

/* The tensors of one file in the order of their numbers. */
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
		err = fsmoe_safetensors_plan(&s->file[file], fsmoe_checkpoint_file_names[file],
					     list, (size_t)(end - first));
	for (int id = first; id < end && !err; id++)
		s->tensor[id] = &s->file[file].tensor[id - first];
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
	const size_t n = (size_t)(s->map.kinds * s->map.n);
	int err = 0;

	s->files = s->map.kinds > 1 ? FSMOE_CHECKPOINT_FILES : 1;
	s->tensor = calloc(n, sizeof(*s->tensor));
	s->raw = calloc(n, sizeof(*s->raw));
	s->crc = calloc(n, sizeof(*s->crc));
	s->buffer = malloc(largest_bucket(&s->map) * sizeof(*s->buffer));
	if (!s->tensor || !s->raw || !s->crc || !s->buffer)
		err = fsmoe_fail(ENOMEM, "no memory to save a checkpoint: one layer's parameters "
					 "are copied at a time");
	for (int file = 0; file < s->files && !err; file++)
		err = plan_file(s, file);
	return err;
}

/* --- files -------------------------------------------------------------------------------- */

static int write_all(int fd, const void *data, size_t bytes, uint64_t at, const char *path)
{
	const char *from = data;

	while (bytes)
	{
		const ssize_t n = pwrite(fd, from, bytes, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fsmoe_fail(n ? errno : EIO, "cannot write %s: %s", path,
					  n ? strerror(errno) : "nothing was written");
		from += n;
		at += (uint64_t)n;
		bytes -= (size_t)n;
	}
	return 0;
}

/* A file of full size with its header: a full disk shows here, where it can. */
static int make_file(const struct save *s, int file)
{
	const struct fsmoe_safetensors *f = &s->file[file];
	char path[PATH_MAX];
	int err = fsmoe_path_join(path, sizeof(path), s->folder.part, f->path), fd, code;

	if (err)
		return err;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return fsmoe_fail(errno, "cannot write %s: %s", path, strerror(errno));
	code = posix_fallocate(fd, 0, (off_t)f->bytes);
	/* Where space cannot be reserved the file is only made as long. */
	if (code == EOPNOTSUPP || code == EINVAL)
		code = ftruncate(fd, (off_t)f->bytes) ? errno : 0;
	if (code)
		err = fsmoe_fail(code, "cannot write %s of %llu bytes: %s", path,
				 (unsigned long long)f->bytes, strerror(code));
	if (!err)
		err = write_all(fd, f->header, f->header_bytes, 0, path);
	if (close(fd) && !err)
		err = fsmoe_fail(errno, "cannot write %s: %s", path, strerror(errno));
	return err;
}

static int begin_folder(struct save *s, uint64_t token)
{
	char path[PATH_MAX];
	int err = fsmoe_checkpoint_folder_begin(&s->folder);

	for (int file = 0; file < s->files && !err; file++)
		err = make_file(s, file);
	if (!err)
		err = fsmoe_path_join(path, sizeof(path), s->folder.part, "token");
	return err ? err : fsmoe_file_write_synced(path, &token, sizeof(token));
}

/* That this is the very folder that rank 0 made: it may take a while until another host sees it. */
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

static int open_files(struct save *s)
{
	char path[PATH_MAX];
	int err = 0;

	for (int file = 0; file < s->files && !err; file++)
	{
		err = fsmoe_path_join(path, sizeof(path), s->folder.part, s->file[file].path);
		if (err)
			break;
		s->fd[file] = open(path, O_WRONLY | O_CLOEXEC);
		if (s->fd[file] < 0)
			err = fsmoe_fail(errno, "cannot write %s: %s", path, strerror(errno));
	}
	return err;
}

static int close_files(struct save *s)
{
	int err = 0;

	for (int file = 0; file < FSMOE_CHECKPOINT_FILES; file++)
	{
		if (s->fd[file] >= 0 && close(s->fd[file]) && !err)
			err = fsmoe_fail(errno, "cannot write %s: %s", s->file[file].path,
					 strerror(errno));
		s->fd[file] = -1;
	}
	return err;
}

/* --- tensors ------------------------------------------------------------------------------ */

/* One stored tensor being written from the buffer of its bucket. */
struct writing
{
	struct save *save;
	const struct fsmoe_stored *stored;
	const float *data; /* of the parameter, here */
	int id;
	size_t at; /* elements that the checksum has seen */
};

static int write_run(const struct fsmoe_run *run, void *arg)
{
	struct writing *w = arg;
	struct save *s = w->save;
	const int file = (int)fsmoe_checkpoint_file_of(&s->map, w->id);
	const size_t first = run->global - w->stored->first, bytes = run->count * sizeof(float);
	uint32_t raw = fsmoe_crc32c_zeros(s->raw[w->id], (first - w->at) * sizeof(float));

	s->raw[w->id] = fsmoe_crc32c_raw(raw, w->data + run->local, bytes);
	w->at = first + run->count;
	return write_all(s->fd[file], w->data + run->local, bytes,
			 s->tensor[w->id]->begin + first * sizeof(float), s->file[file].path);
}

static int write_tensor(struct save *s, int id)
{
	const struct fsmoe_checkpoint_map *map = &s->map;
	const struct fsmoe_stored *stored = &map->stored[id % map->n];
	struct writing w = {.save = s, .stored = stored, .id = id};
	int err;

	w.data = s->buffer + map->tensors[map->params[stored->param].tensor].offset;
	err = fsmoe_checkpoint_runs(map, stored, write_run, &w);
	s->raw[id] = fsmoe_crc32c_zeros(s->raw[id], (stored->count - w.at) * sizeof(float));
	return err;
}

static int fetch(struct save *s, fsmoe_tensor_t part)
{
	const struct fsmoe_checkpoint_target *t = &s->map.target;
	const size_t bytes = fsmoe_shape_count(&s->map.tensors[part].shape) * sizeof(float);

	if (t->program)
		return fsmoe_program_read(t->program, part, s->buffer, bytes);
	memcpy(s->buffer, fsmoe_memory_data(t->memory, part), bytes);
	return 0;
}

/* What this rank owns of one bucket: weights or moments, at once on the disk, so that no rank
 * waits long for another without a sign of life. */
static int write_bucket(struct save *s, fsmoe_tensor_t bucket, int kind)
{
	const struct fsmoe_checkpoint_map *map = &s->map;
	int err = fetch(s, fsmoe_checkpoint_part(map, bucket, kind)),
	    file = (int)fsmoe_checkpoint_file_of(map, kind * map->n);

	for (int i = 0; i < map->n && !err; i++)
	{
		const int param = map->stored[i].param;

		if (map->params[param].bucket == bucket &&
		    map->owner[map->rank * map->nparams + param])
			err = write_tensor(s, kind * map->n + i);
	}
	if (!err && fdatasync(s->fd[file]))
		err = fsmoe_fail(errno, "cannot write %s: %s", s->file[file].path, strerror(errno));
	return err;
}

static int write_buckets(struct save *s)
{
	const struct fsmoe_checkpoint_map *map = &s->map;
	int err = 0;

	for (int p = 0; p < map->nparams && !err; p++)
	{
		const fsmoe_tensor_t bucket = map->params[p].bucket;
		int first = 0;

		while (map->params[first].bucket != bucket)
			first++;
		/* Every bucket once: at its first parameter. */
		for (int kind = 0; first == p && kind < map->kinds && !err; kind++)
			err = fsmoe_checkpoint_agree(map, write_bucket(s, bucket, kind));
	}
	return err;
}

/* --- the manifest ------------------------------------------------------------------------- */

static int fill_manifest(const struct save *s, json_t *json)
{
	const struct fsmoe_checkpoint_map *map = &s->map;
	int err = 0;

	for (int file = 0; file < s->files && !err; file++)
	{
		const struct fsmoe_safetensors *f = &s->file[file];

		err = fsmoe_manifest_add_file(
			json, f->path,
			&(struct fsmoe_manifest_file){f->bytes,
						      fsmoe_crc32c(f->header, f->header_bytes)});
	}
	for (int id = 0; id < map->kinds * map->n && !err; id++)
		err = fsmoe_manifest_add_tensor(
			json, s->tensor[id]->name,
			&(struct fsmoe_manifest_tensor){
				s->file[fsmoe_checkpoint_file_of(map, id)].path,
				s->tensor[id]->shape, s->crc[id]});
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
	err = fsmoe_checkpoint_agree(map, err ? err : open_files(s));
	if (!err)
		err = write_buckets(s);
	if (err)
		return err;
	err = fsmoe_checkpoint_agree(map, close_files(s));
	if (!err)
		err = fsmoe_checkpoint_combine(map, s->raw, 0, s->crc);
	if (err)
		return err;
	return fsmoe_checkpoint_agree(map, map->rank == 0 ? end_folder(s, info) : 0);
}

int fsmoe_checkpoint_write(const char *dir, const struct fsmoe_checkpoint_target *target,
			   const struct fsmoe_checkpoint_info *info, int keep)
{
	struct save s = {.fd = {-1, -1}};
	int err = fsmoe_checkpoint_map_init(&s.map, target, FSMOE_CHECKPOINT_KINDS);

	if (err)
		return err;
	err = fsmoe_checkpoint_folder_name(&s.folder, dir, info->step);
	if (!err)
		err = write_checkpoint(&s, info);
	close_files(&s);
	if (s.map.rank == 0 && err)
		fsmoe_checkpoint_folder_discard(&s.folder);
	if (s.map.rank == 0 && !err)
		fsmoe_checkpoint_folder_prune(&s.folder, keep);
	for (int file = 0; file < FSMOE_CHECKPOINT_FILES; file++)
		fsmoe_safetensors_free(&s.file[file]);
	free(s.tensor);
	free(s.raw);
	free(s.crc);
	free(s.buffer);
	fsmoe_checkpoint_map_free(&s.map);
	return err;
}
