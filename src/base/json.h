/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_BASE_JSON_H
#define FSMOE_BASE_JSON_H

#include <jansson.h>

/* A JSON file with its text, so that errors found later can still name a line. */
struct fsmoe_json
{
	json_t *root;
	char *path, *text;
};

/* -ENOENT, -EACCES, ...; -EPROTO "PATH:LINE: what is wrong"; a key given twice is wrong. The
 * caller calls fsmoe_json_free. */
int fsmoe_json_load(struct fsmoe_json *json, const char *path);
/* Reads a text that it takes over; NULL: -ENOMEM. Sentences name it `path`. */
int fsmoe_json_parse(struct fsmoe_json *json, const char *path, char *text, size_t size);
void fsmoe_json_free(struct fsmoe_json *json); /* zeroed ones are legal */

/* The line on which "key" first stands as a key, from 1; 0 when it does not. */
int fsmoe_json_line(const struct fsmoe_json *json, const char *key);

/* A number as JSON writes it: the shortest text that reads back equal; "null" for NaN and
 * infinities, which JSON does not have. Returns buffer (32 bytes do). */
const char *fsmoe_json_real(double value, char *buffer, size_t size);
/* A string as JSON writes it, in quotes; the caller frees it. NULL: no memory. */
char *fsmoe_json_quoted(const char *text);

#endif
