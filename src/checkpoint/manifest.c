/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/manifest.h"

#include "base/crc32c.h"
#include "base/file.h"
#include "checkpoint/safetensors.h"
#include "config/checkpoint_config.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT "fsmoe checkpoint"
enum
{
	FORMAT_VERSION = 1
};

/* The last line: the checksum of all bytes before it. */
#define TAIL ",\n \"manifest_crc32c\": \"%08" PRIx32 "\"\n}\n"
enum
{
	TAIL_LENGTH = sizeof(",\n \"manifest_crc32c\": \"00000000\"\n}\n") - 1
};

/* --- writing ------------------------------------------------------------------------------ */

static int no_memory(void)
{
	return fsmoe_fail(ENOMEM, "no memory for a checkpoint's manifest");
}

static json_t *hex(uint32_t crc)
{
	char text[16];

	snprintf(text, sizeof(text), "%08" PRIx32, crc);
	return json_string(text);
}

int fsmoe_manifest_begin(json_t **json, const struct fsmoe_checkpoint_info *info)
{
	char seed[32];
	json_t *root, *run = NULL;

	/* A string, since JSON readers keep 53 bits of a number. */
	snprintf(seed, sizeof(seed), "%" PRIu64, info->train.seed);
	root = json_pack("{s:s, s:i, s:I, s:I, s:s, s:i, s:{s:i, s:i, s:i, s:i}, s:o, s:{}, s:{}}",
			 "format", FORMAT, "version", FORMAT_VERSION, "step",
			 (json_int_t)info->step, "samples", (json_int_t)info->samples, "seed", seed,
			 "ranks", info->ranks, "layout", "dp", info->layout.dp, "tp",
			 info->layout.tp, "ep", info->layout.ep, "esp", info->layout.esp,
			 "training", fsmoe_json_from_training(&info->train), "files", "tensors");
	if (!root)
		return no_memory();
	if (info->has_model)
		json_object_set_new(root, "model", fsmoe_json_from_model(&info->model));
	if (info->run)
	{
		run = json_loads(info->run, JSON_REJECT_DUPLICATES, NULL);
		if (!json_is_object(run))
		{
			json_decref(run);
			json_decref(root);
			return fsmoe_fail(EINVAL,
					  "what a checkpoint is to keep of a run is no JSON "
					  "object: %.80s",
					  info->run);
		}
		json_object_set_new(root, "run", run);
	}
	*json = root;
	return 0;
}

int fsmoe_manifest_add_file(json_t *json, const char *name, const struct fsmoe_manifest_file *file)
{
	json_t *value = json_pack("{s:I, s:o}", "bytes", (json_int_t)file->bytes, "header_crc32c",
				  hex(file->header_crc));

	return json_object_set_new(json_object_get(json, "files"), name, value) ? no_memory() : 0;
}

int fsmoe_manifest_add_tensor(json_t *json, const char *name,
			      const struct fsmoe_manifest_tensor *tensor)
{
	json_t *shape = json_array(), *value;

	for (int d = 0; d < tensor->shape.ndim; d++)
		json_array_append_new(shape, json_integer((json_int_t)tensor->shape.dim[d]));
	value = json_pack("{s:s, s:o, s:o}", "file", tensor->file, "shape", shape, "crc32c",
			  hex(tensor->crc));
	return json_object_set_new(json_object_get(json, "tensors"), name, value) ? no_memory() : 0;
}

int fsmoe_manifest_text(const json_t *json, char **text)
{
	char *body = json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
	size_t length = body ? strlen(body) : 0;
	char *all = length > 2 ? realloc(body, length + TAIL_LENGTH + 1) : NULL;

	if (!all)
	{
		free(body);
		return no_memory();
	}
	length -= 2; /* the newline and brace that end it */
	snprintf(all + length, TAIL_LENGTH + 1, TAIL, fsmoe_crc32c(all, length));
	*text = all;
	return 0;
}

/* --- reading ------------------------------------------------------------------------------ */

static int damaged(const struct fsmoe_manifest *m, const char *what)
{
	return fsmoe_fail(EPROTO, "%s is damaged: %s", m->json.path, what);
}

static int read_hex(const json_t *value, uint32_t *crc)
{
	const char *text = json_string_value(value);
	char again[16];

	if (!text || sscanf(text, "%8" SCNx32, crc) != 1)
		return -EPROTO;
	snprintf(again, sizeof(again), "%08" PRIx32, *crc);
	return strcmp(again, text) ? -EPROTO : 0;
}

/* Checks format, version, and that the bytes are those that were written. */
static int check_bytes(struct fsmoe_manifest *m)
{
	const json_t *version = json_object_get(m->json.root, "version");
	const char *format = json_string_value(json_object_get(m->json.root, "format"));
	const size_t length = strlen(m->json.text);
	char tail[TAIL_LENGTH + 1];

	if (!format || strcmp(format, FORMAT) || !json_is_integer(version))
		return fsmoe_fail(EPROTO, "%s is no manifest of a checkpoint", m->json.path);
	if (json_integer_value(version) != FORMAT_VERSION)
		return fsmoe_fail(EPROTO,
				  "%s has format %lld, this fsmoe reads %d: use the fsmoe that "
				  "wrote it",
				  m->json.path, (long long)json_integer_value(version),
				  FORMAT_VERSION);
	if (length < TAIL_LENGTH)
		return damaged(m, "it is cut");
	m->crc = fsmoe_crc32c(m->json.text, length - TAIL_LENGTH);
	snprintf(tail, sizeof(tail), TAIL, m->crc);
	if (strcmp(m->json.text + length - TAIL_LENGTH, tail))
		return damaged(m, "its bytes do not have the checksum in its last line");
	return 0;
}

static int read_u64(const json_t *value, uint64_t *out)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return -EPROTO;
	*out = (uint64_t)json_integer_value(value);
	return 0;
}

static int read_info(struct fsmoe_manifest *m)
{
	struct fsmoe_checkpoint_info *info = &m->info;
	json_t *root = m->json.root, *model = json_object_get(root, "model"),
	       *run = json_object_get(root, "run");
	const char *seed = json_string_value(json_object_get(root, "seed"));
	struct fsmoe_layout *l = &info->layout;
	int err = 0;

	fsmoe_checkpoint_info_init(info);
	l->tp = -1;
	if (read_u64(json_object_get(root, "step"), &info->step) ||
	    read_u64(json_object_get(root, "samples"), &info->samples) || !seed ||
	    json_unpack(root, "{s:i, s:{s:i, s?:i, s?:i, s:i, s:i}}", "ranks", &info->ranks,
			"layout", "dp", &l->dp, "mp", &l->tp, "tp", &l->tp, "ep", &l->ep, "esp",
			&l->esp) ||
	    l->tp < 0)
		return damaged(m, "step, samples, seed, ranks or layout is missing");
	err = fsmoe_json_to_training(&m->json, json_object_get(root, "training"), &info->train);
	info->train.seed = strtoull(seed, NULL, 10);
	if (!err && model)
	{
		info->has_model = 1;
		err = fsmoe_json_to_model(&m->json, model, &info->model);
	}
	if (!err && run)
	{
		info->run = json_dumps(run, JSON_COMPACT | JSON_REAL_PRECISION(17));
		err = info->run ? 0 : no_memory();
	}
	return err;
}

int fsmoe_manifest_open(struct fsmoe_manifest *manifest, const char *folder)
{
	char path[PATH_MAX];
	int err = fsmoe_path_join(path, sizeof(path), folder, "manifest.json");

	return err ? err : fsmoe_manifest_read(manifest, path);
}

int fsmoe_manifest_read(struct fsmoe_manifest *manifest, const char *path)
{
	struct fsmoe_manifest m = {0};
	int err = fsmoe_json_load(&m.json, path);

	if (!err)
		err = check_bytes(&m);
	if (!err)
		err = read_info(&m);
	if (err)
		fsmoe_manifest_free(&m);
	else
		*manifest = m;
	return err;
}

void fsmoe_manifest_free(struct fsmoe_manifest *m)
{
	fsmoe_checkpoint_info_free(&m->info);
	fsmoe_json_free(&m->json);
}

int fsmoe_manifest_find_file(const struct fsmoe_manifest *m, const char *name,
			     struct fsmoe_manifest_file *file)
{
	const json_t *value = json_object_get(json_object_get(m->json.root, "files"), name);

	if (!value)
		return -ENOENT;
	if (read_u64(json_object_get(value, "bytes"), &file->bytes) ||
	    read_hex(json_object_get(value, "header_crc32c"), &file->header_crc))
		return damaged(m, "a file has no size or checksum");
	return 0;
}

int fsmoe_manifest_find_tensor(const struct fsmoe_manifest *m, const char *name,
			       struct fsmoe_manifest_tensor *t)
{
	const json_t *value = json_object_get(json_object_get(m->json.root, "tensors"), name);
	const json_t *shape = json_object_get(value, "shape");

	if (!value)
		return -ENOENT;
	t->file = json_string_value(json_object_get(value, "file"));
	t->shape.ndim = (int)json_array_size(shape);
	if (!t->file || read_hex(json_object_get(value, "crc32c"), &t->crc) ||
	    !json_is_array(shape) || json_array_size(shape) > FSMOE_MAX_DIMS)
		return damaged(m, "a tensor has no file, shape or checksum");
	for (int d = 0; d < t->shape.ndim; d++)
		t->shape.dim[d] = (size_t)json_integer_value(json_array_get(shape, (size_t)d));
	return 0;
}

int fsmoe_manifest_check_model(const struct fsmoe_manifest *m, const struct fsmoe_model_spec *model)
{
	if (!m->info.has_model)
		return fsmoe_fail(EINVAL,
				  "%s is of a model that was not described to it: it cannot be "
				  "compared with this one",
				  m->json.path);
	return fsmoe_model_spec_same(m->json.path, &m->info.model, model);
}
