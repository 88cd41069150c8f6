/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_BASE_OPTION_ROWS_H
#define FSMOE_BASE_OPTION_ROWS_H

#include "base/options.h"

/*
 * Rows of an option table. The file that has the table defines AT(field), the offset of a field in
 * the table's struct. Both limits are allowed values; equal limits mean none. COMMON and OLD may
 * follow the help text.
 */

/* clang-format off */
#define HEADING(title) {.type = FSMOE_OPTION_HEADING, .help = (title)}
#define INT(name_, field, lo, hi, ...) \
	{.type = FSMOE_OPTION_INT, .name = (name_), .offset = AT(field), .metavar = "N", \
	 .min = (lo), .max = (hi), .help = __VA_ARGS__}
#define U64(name_, field, ...) \
	{.type = FSMOE_OPTION_U64, .name = (name_), .offset = AT(field), .metavar = "N", \
	 .help = __VA_ARGS__}
#define REAL(name_, field, lo, hi, ...) \
	{.type = FSMOE_OPTION_REAL, .name = (name_), .offset = AT(field), .metavar = "X", \
	 .min = (lo), .max = (hi), .help = __VA_ARGS__}
#define TEXT(name_, field, what, ...) \
	{.type = FSMOE_OPTION_STRING, .name = (name_), .offset = AT(field), .metavar = (what), \
	 .help = __VA_ARGS__}
#define CHOICE(name_, field, what, values, ...) \
	{.type = FSMOE_OPTION_STRING, .name = (name_), .offset = AT(field), .metavar = (what), \
	 .choices = (values), .help = __VA_ARGS__}
#define FLAG(name_, field, ...) \
	{.type = FSMOE_OPTION_FLAG, .name = (name_), .offset = AT(field), .help = __VA_ARGS__}
#define COMMON .flags = FSMOE_OPTION_COMMON
/* Names that are accepted too: OLD("topk", "num-experts-per-tok"). */
#define OLD(...) .old = (const char *const[]){__VA_ARGS__, NULL}
/* `sentence` begins after the name: "may mean ...". */
#define REFUSED(name_, sentence) \
	{.type = FSMOE_OPTION_REFUSED, .name = (name_), .help = (sentence)}
/* The rows of another table that `names` lists, for the struct that `field` is. */
#define ROWS_OF(table, field, names) \
	{.type = FSMOE_OPTION_ROWS, .name = (names), .offset = AT(field), .from = (table)}
/* clang-format on */

#endif
