/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "base/json.h"
#include "base/json_reader.h"
#include "base/suggest.h"
#include "cost/profile.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* doc/formats.md describes the file. */
#define FORMAT "fsmoe profile"
enum
{
	FORMAT_VERSION = 1
};

/* Units in which lines are published; a profile holds seconds, bytes and flops. */
static const struct unit
{
	const char *name;
	double size;
} times[] = {{"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {NULL, 0}},
  works[] = {{"byte", 1}, {"element", 4}, {"flop", 1}, {"mac", 2}, {"mac/4", 0.5}, {NULL, 0}};

static const char *unit_at(const void *units, int i)
{
	return ((const struct unit *)units)[i].name;
}

static const char *const profile_keys[] = {"format", "version",    "machine", "source", "device",
					   "dtype",  "provenance", "fits",    NULL};
static const char *const fit_keys[] = {"kind", "lane",     "alpha",   "beta",   "time",
				       "per",  "samples",  "dropped", "low",    "high",
				       "r2",   "residual", "sharing", "source", NULL};

static double number(struct fsmoe_json_reader *r, const char *key, int needed)
{
	json_t *value = json_object_get(r->object, key);

	if (!value && !needed)
		return 0;
	if (!json_is_number(value) || !(json_number_value(value) >= 0) ||
	    !isfinite(json_number_value(value)))
	{
		fsmoe_json_bad(r, key, value ? "must be a number, 0 or more" : "is missing");
		return 0;
	}
	return json_number_value(value);
}

static int count(struct fsmoe_json_reader *r, const char *key)
{
	const double value = number(r, key, 0);

	if (value != floor(value) || value > 1e9)
		fsmoe_json_bad(r, key, "must be a whole number");
	return r->err ? 0 : (int)value;
}

static void text(struct fsmoe_json_reader *r, const char *key, char *buffer, size_t size)
{
	json_t *value = json_object_get(r->object, key);

	if (value && !json_is_string(value))
		fsmoe_json_bad(r, key, "must be a string");
	else if (value && strlen(json_string_value(value)) >= size)
		fsmoe_json_bad(r, key, "is longer than a profile keeps");
	else if (value)
		snprintf(buffer, size, "%s", json_string_value(value));
}

/* Returns the index of a string in a list of names. */
static int choice(struct fsmoe_json_reader *r, const char *key, fsmoe_name_fn name,
		  const void *table)
{
	const char *value = json_string_value(json_object_get(r->object, key)), *at;
	char valid[256], what[320];

	for (int i = 0; value && (at = name(table, i)); i++)
		if (!strcmp(at, value))
			return i;
	fsmoe_name_list(name, table, valid, sizeof(valid));
	snprintf(what, sizeof(what), "must be one of %s", valid);
	fsmoe_json_bad(r, key, what);
	return 0;
}

static double unit(struct fsmoe_json_reader *r, const char *key, const struct unit *units)
{
	return json_object_get(r->object, key) ? units[choice(r, key, unit_at, units)].size : 1;
}

static void read_fit(struct fsmoe_json_reader *r, struct fsmoe_profile *p)
{
	struct fsmoe_fit f = {0};
	double second, one;
	int kind, lane = FSMOE_COMPUTE;

	fsmoe_json_check_keys(r, fit_keys);
	kind = choice(r, "kind", fsmoe_kind_name_at, NULL);
	if (!r->err && (FSMOE_KIND_IS_COMM(kind) || json_object_get(r->object, "lane")))
		lane = choice(r, "lane", fsmoe_lane_name_at, NULL);
	second = unit(r, "time", times);
	one = unit(r, "per", works);
	f.alpha = number(r, "alpha", 1) * second;
	f.beta = number(r, "beta", 1) * second / one;
	f.samples = count(r, "samples");
	f.dropped = count(r, "dropped");
	f.low = number(r, "low", 0) * one;
	f.high = number(r, "high", 0) * one;
	f.r2 = number(r, "r2", 0);
	f.residual = number(r, "residual", 0);
	f.sharing = number(r, "sharing", 0);
	text(r, "source", f.source, sizeof(f.source));
	if (!r->err && p->fitted[kind][lane])
		fsmoe_json_bad(r, "kind", "says a second time what stands above");
	if (!r->err && fsmoe_profile_set(p, (enum fsmoe_kind)kind, (enum fsmoe_lane)lane, &f))
		fsmoe_json_bad(r, "lane",
			       "does not go with this kind: compute kinds run on compute, "
			       "communication on intra or inter");
}

/* Notes for people: texts under keys. */
static void read_notes(struct fsmoe_json_reader *r, struct fsmoe_profile *p)
{
	json_t *notes = json_object_get(r->object, "provenance"), *value;
	const char *key;

	if (notes && !json_is_object(notes))
		fsmoe_json_bad(r, "provenance", "must be an object");
	json_object_foreach(notes, key, value)
	{
		if (!json_is_string(value))
			fsmoe_json_bad(r, key, "of the provenance must be a string");
		else if (!r->err && fsmoe_profile_note(p, key, json_string_value(value)))
			fsmoe_json_bad(
				r, key,
				"of the provenance is longer or one more than a profile keeps");
	}
}

static void read_profile(struct fsmoe_json_reader *r, struct fsmoe_profile *p)
{
	json_t *root = r->object, *fits, *fit;
	size_t i;

	if (!json_is_object(root) || !json_string_value(json_object_get(root, "format")) ||
	    strcmp(json_string_value(json_object_get(root, "format")), FORMAT))
	{
		fsmoe_json_bad(r, "format", "is not \"" FORMAT "\": this is no profile");
		return;
	}
	if (json_integer_value(json_object_get(root, "version")) != FORMAT_VERSION)
		fsmoe_json_bad(r, "version", "is none that this program reads: it must be 1");
	fsmoe_json_check_keys(r, profile_keys);
	text(r, "machine", p->machine, sizeof(p->machine));
	text(r, "source", p->source, sizeof(p->source));
	text(r, "device", p->device, sizeof(p->device));
	text(r, "dtype", p->dtype, sizeof(p->dtype));
	read_notes(r, p);
	fits = json_object_get(root, "fits");
	if (!json_is_array(fits))
		fsmoe_json_bad(r, "fits", "must be an array");
	json_array_foreach(fits, i, fit)
	{
		r->part = "fit";
		r->number = (int)i + 1;
		r->object = fit;
		if (!json_is_object(fit))
			fsmoe_json_bad(r, "fits", "must hold objects");
		if (r->err)
			return;
		read_fit(r, p);
	}
}

static int profile_from_json(fsmoe_profile_t *profile, struct fsmoe_json *json)
{
	struct fsmoe_json_reader r = {.path = json->path, .object = json->root};
	fsmoe_profile_t p = NULL;
	int err = fsmoe_profile_create(&p);

	if (!err)
	{
		read_profile(&r, p);
		err = r.err;
	}
	fsmoe_json_free(json);
	if (err)
		fsmoe_profile_destroy(p);
	else
		*profile = p;
	return err;
}

int fsmoe_profile_load(fsmoe_profile_t *profile, const char *path)
{
	struct fsmoe_json json;
	int err = fsmoe_json_load(&json, path);

	return err ? err : profile_from_json(profile, &json);
}

int fsmoe_profile_testbed(fsmoe_profile_t *profile, char testbed)
{
	const char *text = testbed == 'A' ? fsmoe_testbed_a : fsmoe_testbed_b;
	struct fsmoe_json json;
	int err = fsmoe_json_parse(&json, "the testbed's profile", strdup(text), strlen(text));

	return err ? err : profile_from_json(profile, &json);
}

/* --- writing ------------------------------------------------------------------------------ */

static void write_text(FILE *f, const char *before, const char *value)
{
	char *quoted = fsmoe_json_quoted(value);

	fprintf(f, "%s%s", before, quoted ? quoted : "\"\"");
	free(quoted);
}

static void write_number(FILE *f, const char *key, double value)
{
	char buffer[32];

	fprintf(f, ", \"%s\": %s", key, fsmoe_json_real(value, buffer, sizeof(buffer)));
}

static void write_fit(FILE *f, int kind, int lane, const struct fsmoe_fit *fit)
{
	fprintf(f, "    {\"kind\": \"%s\", \"lane\": \"%s\"", fsmoe_kind_name(kind),
		fsmoe_lane_name(lane));
	write_number(f, "alpha", fit->alpha);
	write_number(f, "beta", fit->beta);
	if (fit->samples)
	{
		fprintf(f, ",\n     \"samples\": %d, \"dropped\": %d", fit->samples, fit->dropped);
		write_number(f, "low", fit->low);
		write_number(f, "high", fit->high);
		write_number(f, "r2", fit->r2);
		write_number(f, "residual", fit->residual);
		if (fit->sharing > 0)
			write_number(f, "sharing", fit->sharing);
	}
	if (*fit->source)
		write_text(f, ",\n     \"source\": ", fit->source);
	fputc('}', f);
}

static void write_notes(FILE *f, const struct fsmoe_profile *p)
{
	for (int i = 0; i < p->notes; i++)
	{
		write_text(f, i ? ",\n    " : ",\n  \"provenance\": {\n    ", p->note[i].key);
		write_text(f, ": ", p->note[i].text);
	}
	if (p->notes)
		fputs("\n  }", f);
}

int fsmoe_profile_save(fsmoe_profile_t p, const char *path)
{
	const char *separator = "\n";
	char *buffer = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&buffer, &size);
	int err;

	if (!f)
		return fsmoe_fail(ENOMEM, "no memory to write %s", path);
	fprintf(f, "{\n  \"format\": \"" FORMAT "\",\n  \"version\": %d,\n", FORMAT_VERSION);
	write_text(f, "  \"machine\": ", p->machine);
	write_text(f, ",\n  \"source\": ", p->source);
	if (*p->device)
		write_text(f, ",\n  \"device\": ", p->device);
	if (*p->dtype)
		write_text(f, ",\n  \"dtype\": ", p->dtype);
	write_notes(f, p);
	fputs(",\n  \"fits\": [", f);
	for (int kind = 0; kind < FSMOE_NKINDS; kind++)
		for (int lane = 0; lane < FSMOE_NLANES; lane++)
			if (p->fitted[kind][lane])
			{
				fputs(separator, f);
				write_fit(f, kind, lane, &p->fit[kind][lane]);
				separator = ",\n";
			}
	fputs("\n  ]\n}\n", f);
	err = fclose(f) ? fsmoe_fail(ENOMEM, "no memory to write %s", path)
			: fsmoe_file_replace(path, buffer, size);
	free(buffer);
	return err;
}
