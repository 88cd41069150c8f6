/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_BASE_JSON_READER_H
#define FSMOE_BASE_JSON_READER_H

#include <jansson.h>

/* One object of a JSON file after another, while it is read; the first failure stays. */
struct fsmoe_json_reader
{
	const char *path;
	json_t *object;
	const char
		*part; /* what sentences call this object, with its number; NULL: the outermost */
	int number;
	int err;
};

/* PATH: PART NUMBER: "KEY" WHAT, as -EPROTO. */
void fsmoe_json_bad(struct fsmoe_json_reader *reader, const char *key, const char *what);
/* Refuses a key of the object that is not among `known`, which ends with NULL. */
void fsmoe_json_check_keys(struct fsmoe_json_reader *reader, const char *const *known);

#endif
