/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_BASE_SUGGEST_H
#define FSMOE_BASE_SUGGEST_H

#include <stddef.h>

/*
 * The valid name nearest to a mistyped one, for sentences that offer it. Names come from a
 * function, so that any table will do: name(table, i) for i = 0, 1, ... until it returns NULL;
 * the empty string is passed over.
 */
typedef const char *(*fsmoe_name_fn)(const void *table, int i);

/* NULL when none is near: more than a third of the letters would have to change. */
const char *fsmoe_suggest(const char *wrong, fsmoe_name_fn name, const void *table);

/* For tables that are an array of strings ended by NULL. */
const char *fsmoe_name_at(const void *strings, int i);

/* "a, b and c" into buffer, cut short with "..." where it does not fit; returns buffer. */
const char *fsmoe_name_list(fsmoe_name_fn name, const void *table, char *buffer, size_t size);

/* Letters to insert, delete, change or swap with their neighbour; case and '-' against '_'
 * do not count. Names longer than 63 letters are compared by their first 63. */
int fsmoe_edit_distance(const char *a, const char *b);

#endif
