/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report.h"

#include "base/file.h"
#include "base/json.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int path_of(char path[PATH_MAX], const char *dir, const char *name)
{
	if (snprintf(path, PATH_MAX, "%s/%s", dir, name) < PATH_MAX)
		return 0;
	return fsmoe_fail(ENAMETOOLONG, "the path %s is too long", dir);
}

static int add_metrics(struct fsmoe_report *report)
{
	char path[PATH_MAX], *text;
	int err = path_of(path, report->dir, "metrics.jsonl");

	if (!err && access(path, F_OK))
		return fsmoe_fail(ENOENT, "there is no %s: name the folder of train --output=DIR",
				  path);
	if (!err)
		err = fsmoe_file_read(path, &text, NULL);
	if (err)
		return err;
	err = fsmoe_report_add_metrics(report->root, text, path);
	free(text);
	return err;
}

/* What is said of the run when it starts and ends: of many lines, the first and the last. */
static int add_log(struct fsmoe_report *report)
{
	enum
	{
		SHOWN = 12
	};
	char path[PATH_MAX], *text, *rest, *line;
	json_t *lines = json_array();
	int err = path_of(path, report->dir, "log");

	json_object_set_new(report->root, "log", lines);
	if (err || access(path, F_OK))
		return err;
	err = fsmoe_file_read(path, &text, NULL);
	if (err)
		return err;
	for (rest = text; (line = strsep(&rest, "\n"));)
	{
		/* Steps are in the metrics. */
		json_t *item = strstr(line, "  loss ") ? NULL : json_string(line);

		if (!*line || !item)
			json_decref(item);
		else
			json_array_append_new(lines, item);
	}
	while (json_array_size(lines) > SHOWN)
		json_array_remove(lines, SHOWN / 2);
	free(text);
	return 0;
}

static int load(struct fsmoe_report *report, const char *name, struct fsmoe_json *json)
{
	char path[PATH_MAX];
	int err = path_of(path, report->dir, name);

	if (err || access(path, F_OK))
		return err;
	err = fsmoe_json_load(json, path);
	return err ? err : 1;
}

/* Files of the formats in doc/formats.md, as they are. */
static int add_file(struct fsmoe_report *report, const char *name, const char *key,
		    const char *format)
{
	struct fsmoe_json json = {0};
	const int err = load(report, name, &json);
	const char *found = json_string_value(json_object_get(json.root, "format"));
	int bad = 0;

	if (err > 0 && (!found || strcmp(found, format) != 0))
		bad = fsmoe_fail(EPROTO, "%s is no %s", json.path, format);
	else if (err > 0)
		json_object_set(report->root, key, json.root);
	fsmoe_json_free(&json);
	return bad ? bad : err < 0 ? err : 0;
}

static int add_timeline(struct fsmoe_report *report)
{
	struct fsmoe_json json = {0};
	int err = load(report, "timeline.json", &json);

	if (err > 0)
		err = fsmoe_report_add_timeline(report->root, json.root, json.path);
	fsmoe_json_free(&json);
	return err;
}

int fsmoe_report_open(struct fsmoe_report *report, const char *dir)
{
	struct fsmoe_report fresh = {.dir = strdup(dir), .root = json_object()};
	int err = 0;

	if (!fresh.dir || !fresh.root)
		err = fsmoe_fail(ENOMEM, "no memory for a report");
	if (!err)
		json_object_set_new(fresh.root, "run", json_string(dir));
	if (!err)
		err = add_metrics(&fresh);
	if (!err)
		err = add_log(&fresh);
	if (!err)
		err = add_timeline(&fresh);
	if (!err)
		err = add_file(&fresh, "profile.json", "profile", "fsmoe profile");
	if (!err)
		err = add_file(&fresh, "plan.json", "plan", "fsmoe plan");
	if (!err)
		err = add_file(&fresh, "run.json", "made_by", "fsmoe run");
	if (err)
	{
		fsmoe_report_close(&fresh);
		return err;
	}
	*report = fresh;
	return 0;
}

void fsmoe_report_close(struct fsmoe_report *report)
{
	json_decref(report->root);
	free(report->dir);
	*report = (struct fsmoe_report){0};
}
