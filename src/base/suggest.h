/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_BASE_SUGGEST_H
#define FSMOE_BASE_SUGGEST_H

#include <stddef.h>

/*
 * Finds the valid name nearest to a mistyped one, for sentences that offer it. A function
 * enumerates the names of a table: name(table, i) for i = 0, 1, ... until it returns NULL; empty
 * names are skipped.
 */
typedef const char *(*fsmoe_name_fn)(const void *table, int i);

/* NULL if none is near: more than a third of the letters would have to change. */
const char *fsmoe_suggest(const char *wrong, fsmoe_name_fn name, const void *table);

/* Enumerates an array of strings that ends with NULL. */
const char *fsmoe_name_at(const void *strings, int i);

/* "a, b and c" into buffer, cut short with "..." where it does not fit; returns buffer. */
const char *fsmoe_name_list(fsmoe_name_fn name, const void *table, char *buffer, size_t size);

/* Letters to insert, delete, change or swap with their neighbour; case and '-' against '_'
 * do not count. Names longer than 63 letters are compared by their first 63. */
int fsmoe_edit_distance(const char *a, const char *b);

#endif
