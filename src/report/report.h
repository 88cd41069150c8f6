/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_REPORT_H
#define FSMOE_REPORT_H

#include <jansson.h>
#include <stdio.h>

/*
 * A report of one run's folder: what metrics.jsonl, timeline.json, profile.json, plan.json and log
 * say, those of them that are there, as one JSON object; and two ways to show it. All numbers are
 * computed here, once: the page and the text print the same ones.
 *
 *	{"run": DIR, "log": [lines], "steps": N, "summary": {...}, "columns": {name: [...]},
 *	 "held_out": [[step, loss], ...], "rank_load": [[step, tokens of rank 0, ...], ...],
 *	 "expert_load": {...}, (experts.c)
 *	 "timeline": {"tracks": [...], "span_us": X, "kinds": [...], "by_kind": [...],
 *		"causes": [...], "waits": [...], "lanes": [...], "split": [...], (waits.c)
 *		"path": {...}, (path.c) "windows": [...]}, (windows.c)
 *	 "profile": {...}, "plan": {...}, "made_by": {...}: run.json}
 */
struct fsmoe_report
{
	char *dir;
	json_t *root;
};

/* -ENOENT where there is no metrics.jsonl, -EPROTO with file and line where something is broken; a
 * last line without its end is of a run that goes on, or was killed, and is left out. */
int fsmoe_report_open(struct fsmoe_report *report, const char *dir);
void fsmoe_report_close(struct fsmoe_report *report); /* zeroed ones are legal */

/* One HTML file that needs no other. -EIO, ... with a sentence. */
int fsmoe_report_write_html(const struct fsmoe_report *report, const char *path);
/* The same numbers for a terminal. */
void fsmoe_report_write_text(const struct fsmoe_report *report, FILE *file);

/* What bounds the recorded step, in sentences; there is one. */
void fsmoe_report_write_words(const struct fsmoe_report *report, FILE *file);

/* The parts; each adds its keys to root. `path` is for sentences. */
int fsmoe_report_add_metrics(json_t *root, char *text, const char *path);
/* Of the metrics' rows, an array. */
void fsmoe_report_add_experts(json_t *root, const json_t *rows);
int fsmoe_report_add_timeline(json_t *root, const json_t *timeline, const char *path);

/* The page's parts, made from src/report/page by the build. */
extern const char fsmoe_report_page[], fsmoe_report_style[], fsmoe_report_script[];

#endif
