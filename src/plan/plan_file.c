/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/json_reader.h"
#include "plan/plan_json.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/plan.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* doc/formats.md describes the file. */
#define FORMAT "fsmoe plan"
enum
{
	FORMAT_VERSION = 1
};

/* --- writing ------------------------------------------------------------------------------ */

static void write_share(FILE *f, const char *name, const struct fsmoe_share *s)
{
	fprintf(f, "\"%s_bytes\": %" PRIu64 ", \"%s_pieces\": %d", name, s->bytes, name, s->pieces);
}

static void write_seconds(FILE *f, const char *name, double value)
{
	char buffer[32];

	fprintf(f, "  \"%s\": %s,\n", name, fsmoe_json_real(value, buffer, sizeof(buffer)));
}

static int write_plan(FILE *f, const struct fsmoe_plan *plan)
{
	char *name = fsmoe_json_quoted(plan->schedule);

	if (!name)
		return -ENOMEM;
	fprintf(f, "{\n  \"format\": \"" FORMAT "\",\n  \"version\": %d,\n  \"schedule\": %s,\n",
		FORMAT_VERSION, name);
	free(name);
	write_seconds(f, "forward_seconds", plan->forward);
	write_seconds(f, "backward_seconds", plan->backward);
	write_seconds(f, "tail_seconds", plan->tail_seconds);
	fputs("  ", f);
	write_share(f, "tail", &plan->tail);
	fputs(",\n  \"layers\": [", f);
	for (int i = 0; i < plan->layers; i++)
	{
		const struct fsmoe_plan_layer *l = &plan->layer[i];

		fprintf(f, "%s\n    {\"forward_degree\": %d, \"backward_degree\": %d, ",
			i ? "," : "", l->forward_degree, l->backward_degree);
		write_share(f, "moe", &l->moe);
		fputs(", ", f);
		write_share(f, "dense", &l->dense);
		fputc('}', f);
	}
	fputs("\n  ]\n}\n", f);
	return 0;
}

static int make_text(const struct fsmoe_plan *plan, char **text, size_t *size)
{
	char *buffer = NULL;
	FILE *f = open_memstream(&buffer, size);
	int err = f ? write_plan(f, plan) : -ENOMEM;

	if (f && fclose(f))
		err = -ENOMEM;
	if (err)
	{
		free(buffer);
		return fsmoe_fail(ENOMEM, "no memory to write a plan of %d layers", plan->layers);
	}
	*text = buffer;
	return 0;
}

int fsmoe_plan_text(const struct fsmoe_plan *plan, char **text)
{
	size_t size;

	return make_text(plan, text, &size);
}

/* The hash is over the text, so ranks compare the contents of the file. */
int fsmoe_plan_hash(const struct fsmoe_plan *plan, uint64_t *hash)
{
	char *text;
	size_t size;
	int err = make_text(plan, &text, &size);

	if (err)
		return err;
	*hash = fsmoe_hash(FSMOE_HASH_START, text, size);
	free(text);
	return 0;
}

int fsmoe_plan_save(const struct fsmoe_plan *plan, const char *path)
{
	char *text;
	size_t size;
	int err = make_text(plan, &text, &size);

	if (err)
		return err;
	err = fsmoe_file_replace(path, text, size);
	free(text);
	return err;
}

/* --- reading ------------------------------------------------------------------------------ */

static const char *const plan_keys[] = {
	"format",       "version",    "schedule",    "forward_seconds", "backward_seconds",
	"tail_seconds", "tail_bytes", "tail_pieces", "layers",          NULL};
static const char *const layer_keys[] = {
	"forward_degree", "backward_degree", "moe_bytes", "moe_pieces",
	"dense_bytes",    "dense_pieces",    NULL};

/* Reads a whole number of at least `least`; if it is omitted, `least`. */
static uint64_t whole(struct fsmoe_json_reader *r, const char *key, json_int_t least,
		      json_int_t most)
{
	json_t *value = json_object_get(r->object, key);

	if (!value)
		return (uint64_t)least;
	if (!json_is_integer(value) || json_integer_value(value) < least ||
	    json_integer_value(value) > most)
	{
		fsmoe_json_bad(r, key,
			       least ? "must be a whole number, 1 to 4096"
				     : "must be a whole number, 0 or more");
		return (uint64_t)least;
	}
	return (uint64_t)json_integer_value(value);
}

static double seconds(struct fsmoe_json_reader *r, const char *key)
{
	json_t *value = json_object_get(r->object, key);

	if (value && !(json_is_number(value) && json_number_value(value) >= 0))
		fsmoe_json_bad(r, key, "must be a number, 0 or more");
	return json_number_value(value);
}

/* Pieces may be omitted: then one, if there are bytes. */
static struct fsmoe_share share(struct fsmoe_json_reader *r, const char *bytes, const char *pieces)
{
	struct fsmoe_share s = {.bytes = whole(r, bytes, 0, (json_int_t)1 << 60)};

	s.pieces = (int)whole(r, pieces, 0, 1000000);
	if (!json_object_get(r->object, pieces))
		s.pieces = s.bytes > 0;
	if (!s.bytes != !s.pieces)
		fsmoe_json_bad(r, pieces, "must be 0 where there are no bytes, and only there");
	if (s.bytes % 4)
		fsmoe_json_bad(r, bytes, "must be a multiple of 4: a gradient is made of floats");
	return s;
}

static void read_layers(struct fsmoe_json_reader *r, struct fsmoe_plan *plan, json_t *layers)
{
	json_t *layer;
	size_t i;

	json_array_foreach(layers, i, layer)
	{
		struct fsmoe_plan_layer *l = &plan->layer[i];

		r->part = "layer";
		r->number = (int)i;
		r->object = layer;
		if (!json_is_object(layer))
			fsmoe_json_bad(r, "layers", "must hold objects");
		fsmoe_json_check_keys(r, layer_keys);
		l->forward_degree = (int)whole(r, "forward_degree", 1, 4096);
		l->backward_degree = (int)whole(r, "backward_degree", 1, 4096);
		l->moe = share(r, "moe_bytes", "moe_pieces");
		l->dense = share(r, "dense_bytes", "dense_pieces");
		if (r->err)
			return;
	}
}

static void read_plan(struct fsmoe_json_reader *r, struct fsmoe_plan *plan)
{
	json_t *root = r->object, *layers = json_object_get(root, "layers");
	const char *format = json_string_value(json_object_get(root, "format")),
		   *name = json_string_value(json_object_get(root, "schedule"));

	if (!format || strcmp(format, FORMAT))
	{
		fsmoe_json_bad(r, "format", "is not \"" FORMAT "\": this is no plan");
		return;
	}
	if (json_integer_value(json_object_get(root, "version")) != FORMAT_VERSION)
		fsmoe_json_bad(r, "version", "is none that this program reads: it must be 1");
	fsmoe_json_check_keys(r, plan_keys);
	if (!name || strlen(name) >= sizeof(plan->schedule))
		fsmoe_json_bad(r, "schedule", "must be the name of a schedule");
	else
		memcpy(plan->schedule, name, strlen(name) + 1);
	plan->forward = seconds(r, "forward_seconds");
	plan->backward = seconds(r, "backward_seconds");
	plan->tail_seconds = seconds(r, "tail_seconds");
	plan->tail = share(r, "tail_bytes", "tail_pieces");
	if (!json_array_size(layers) || json_array_size(layers) > 1000000)
		fsmoe_json_bad(r, "layers", "must be an array of at least one layer");
	if (r->err)
		return;
	plan->layers = (int)json_array_size(layers);
	plan->layer = calloc((size_t)plan->layers, sizeof(*plan->layer));
	if (plan->layer)
		read_layers(r, plan, layers);
	else
		r->err = fsmoe_fail(ENOMEM, "no memory for a plan of %d layers", plan->layers);
}

int fsmoe_plan_load(struct fsmoe_plan *plan, const char *path)
{
	struct fsmoe_json json;
	int err = fsmoe_json_load(&json, path);

	if (err)
		return err;
	err = fsmoe_plan_from_json(plan, json.root, path);
	fsmoe_json_free(&json);
	return err;
}

int fsmoe_plan_from_json(struct fsmoe_plan *plan, json_t *root, const char *where)
{
	struct fsmoe_json_reader r = {.path = where, .object = root};
	struct fsmoe_plan fresh = {0};

	read_plan(&r, &fresh);
	if (r.err)
		fsmoe_plan_destroy(&fresh);
	else
		*plan = fresh;
	return r.err;
}
