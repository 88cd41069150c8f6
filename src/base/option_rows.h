/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_BASE_OPTION_ROWS_H
#define FSMOE_BASE_OPTION_ROWS_H

#include "base/options.h"

/*
 * Rows of an option table, for a file that has one: it defines AT(field), where in the table's
 * struct a field is. Both limits are allowed; equal: there are none.
 */

/* clang-format off */
#define HEADING(title) {.type = FSMOE_OPTION_HEADING, .help = (title)}
#define INT(name_, field, lo, hi, doc) \
	{.type = FSMOE_OPTION_INT, .name = (name_), .offset = AT(field), .metavar = "N", \
	 .help = (doc), .min = (lo), .max = (hi)}
#define U64(name_, field, doc) \
	{.type = FSMOE_OPTION_U64, .name = (name_), .offset = AT(field), .metavar = "N", \
	 .help = (doc)}
#define REAL(name_, field, lo, hi, doc) \
	{.type = FSMOE_OPTION_REAL, .name = (name_), .offset = AT(field), .metavar = "X", \
	 .help = (doc), .min = (lo), .max = (hi)}
#define TEXT(name_, field, what, doc) \
	{.type = FSMOE_OPTION_STRING, .name = (name_), .offset = AT(field), .metavar = (what), \
	 .help = (doc)}
#define CHOICE(name_, field, what, values, doc) \
	{.type = FSMOE_OPTION_STRING, .name = (name_), .offset = AT(field), .metavar = (what), \
	 .help = (doc), .choices = (values)}
#define FLAG(name_, field, doc) \
	{.type = FSMOE_OPTION_FLAG, .name = (name_), .offset = AT(field), .help = (doc)}
/* The rows of another table that `names` lists, for the struct that `field` is. */
#define ROWS_OF(table, field, names) \
	{.type = FSMOE_OPTION_ROWS, .name = (names), .offset = AT(field), .from = (table)}
/* clang-format on */

#endif
