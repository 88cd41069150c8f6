/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/match.h"

#include "base/crc32c.h"
#include "base/file.h"
#include "codelets/shape.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Opens a file and compares its header with the manifest. */
static int open_file(struct fsmoe_checkpoint_match *m, int file)
{
	const char *name = fsmoe_checkpoint_file_names[file];
	struct fsmoe_safetensors *f = &m->files.file[file];
	struct fsmoe_manifest_file known;
	char path[PATH_MAX];
	int err = fsmoe_path_join(path, sizeof(path), m->folder, name);

	if (err)
		return err;
	err = fsmoe_manifest_find_file(&m->manifest, name, &known);
	if (err == -ENOENT)
		return fsmoe_fail(EINVAL,
				  "%s has no %s: it was trained with an optimizer without moments, "
				  "give that one, or another checkpoint",
				  m->folder, name);
	if (!err)
		err = fsmoe_safetensors_open(f, path);
	/* A checkpoint that has lost a file is damaged, not absent. */
	if (err == -ENOENT)
		err = fsmoe_fail(EPROTO, "%s is missing: use another checkpoint", path);
	if (!err && (f->bytes != known.bytes ||
		     fsmoe_crc32c(f->header, f->header_bytes) != known.header_crc))
		err = fsmoe_fail(EPROTO,
				 "%s is damaged: its size or header is not the one in "
				 "manifest.json; use another checkpoint",
				 path);
	return err;
}

/* --- names and shapes --------------------------------------------------------------------- */

/* Differences as one sentence, cut to its room. */
struct differences
{
	char text[300];
	size_t used;
	int n;
};

static void add_difference(struct differences *d, const char *name,
			   const struct fsmoe_shape *stored, const struct fsmoe_shape *here)
{
	char a[FSMOE_SHAPE_TEXT], b[FSMOE_SHAPE_TEXT], line[512];
	size_t n;

	snprintf(line, sizeof(line), "%s'%s' is %s there and %s here", d->n ? ", " : "", name,
		 stored ? fsmoe_shape_text(a, stored) : "absent",
		 here ? fsmoe_shape_text(b, here) : "absent");
	n = strlen(line);
	d->n++;
	if (d->used + n >= sizeof(d->text))
		return;
	memcpy(d->text + d->used, line, n + 1);
	d->used += n;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Adds the tensors of a file that the graph does not have. names: the graph's, sorted. */
static void find_extra(const struct fsmoe_safetensors *f, char *const *names, size_t n,
		       struct differences *d)
{
	for (size_t i = 0; i < f->n; i++)
		if (!bsearch(&f->tensor[i].name, names, n, sizeof(*names), by_name))
			add_difference(d, f->tensor[i].name, &f->tensor[i].shape, NULL);
}

static int find_tensor(struct fsmoe_checkpoint_match *m, const struct fsmoe_checkpoint_map *map,
		       int id, const char *name, struct differences *d)
{
	const int file = (int)fsmoe_checkpoint_file_of(map, id);
	const struct fsmoe_shape *here = &map->stored[id % map->n].shape;
	const struct fsmoe_safetensor *t = fsmoe_safetensors_find(&m->files.file[file], name);
	struct fsmoe_manifest_tensor known;
	int err;

	m->files.tensor[id] = t;
	if (!t || !fsmoe_shape_equal(&t->shape, here))
	{
		add_difference(d, name, t ? &t->shape : NULL, here);
		return 0;
	}
	err = fsmoe_manifest_find_tensor(&m->manifest, name, &known);
	if (err == -EPROTO)
		return err;
	if (err || strcmp(known.file, fsmoe_checkpoint_file_names[file]) ||
	    !fsmoe_shape_equal(&known.shape, here))
		return fsmoe_fail(EPROTO,
				  "tensor '%s' of %s is not the one that manifest.json describes; "
				  "use another checkpoint",
				  name, m->files.file[file].path);
	m->known[id] = known.crc;
	return 0;
}

static int match_names(struct fsmoe_checkpoint_match *m, const struct fsmoe_checkpoint_map *map,
		       char **names)
{
	const int n = map->kinds * map->n;
	struct differences d = {.n = 0};
	char name[300];
	int err = 0;

	for (int id = 0; id < n && !err; id++)
	{
		fsmoe_checkpoint_name(map, id, name, sizeof(name));
		names[id] = strdup(name);
		if (!names[id])
			return fsmoe_fail(ENOMEM, "no memory for a list of %d tensors", n);
		err = find_tensor(m, map, id, name, &d);
	}
	if (err)
		return err;
	qsort(names, (size_t)n, sizeof(*names), by_name);
	for (int file = 0; file < m->files.n; file++)
		find_extra(&m->files.file[file], names, (size_t)n, &d);
	if (d.n == 0)
		return 0;
	return fsmoe_fail(EINVAL,
			  "%.120s is of another model, %d of its and our %d tensors differ: %s%s",
			  m->folder, d.n, n, d.text, d.used && d.n > 1 ? ", ..." : "");
}

int fsmoe_checkpoint_match_open(struct fsmoe_checkpoint_match *m,
				const struct fsmoe_checkpoint_map *map,
				const struct fsmoe_model_spec *model)
{
	const size_t n = (size_t)(map->kinds * map->n);
	char **names = calloc(n, sizeof(*names));
	int err = 0;

	m->known = calloc(n, sizeof(*m->known));
	if (!names || !m->known)
		err = fsmoe_fail(ENOMEM, "no memory for a list of %zu tensors", n);
	if (!err)
		err = fsmoe_manifest_open(&m->manifest, m->folder);
	if (!err && model)
		err = fsmoe_manifest_check_model(&m->manifest, model);
	for (int file = 0; file < m->files.n && !err; file++)
		err = open_file(m, file);
	if (!err)
		err = match_names(m, map, names);
	for (size_t i = 0; names && i < n; i++)
		free(names[i]);
	free(names);
	return err;
}

void fsmoe_checkpoint_match_free(struct fsmoe_checkpoint_match *m)
{
	fsmoe_manifest_free(&m->manifest);
	fsmoe_checkpoint_files_free(&m->files);
	free(m->known);
}
