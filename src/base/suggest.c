/* SPDX-License-Identifier: Apache-2.0 */
#include "base/suggest.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define LONGEST 63

static int smaller(int a, int b)
{
	return a < b ? a : b;
}

static int letter(char c)
{
	return c == '_' ? '-' : tolower((unsigned char)c);
}

int fsmoe_edit_distance(const char *a, const char *b)
{
	/* The rows of the usual table (Damerau's variant, neighbours swapped once) that are still
	 * needed: this one, the one before and the one before that. */
	int rows[3][LONGEST + 1];
	const int na = (int)strnlen(a, LONGEST), nb = (int)strnlen(b, LONGEST);

	for (int j = 0; j <= nb; j++)
		rows[0][j] = j;
	for (int i = 1; i <= na; i++)
	{
		int *row = rows[i % 3];
		const int *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];

		row[0] = i;
		for (int j = 1; j <= nb; j++)
		{
			const int ca = letter(a[i - 1]), cb = letter(b[j - 1]);

			row[j] = smaller(above[j], row[j - 1]) + 1;
			row[j] = smaller(row[j], above[j - 1] + (ca != cb));
			if (i > 1 && j > 1 && ca == letter(b[j - 2]) && letter(a[i - 2]) == cb)
				row[j] = smaller(row[j], above2[j - 2] + 1);
		}
	}
	return rows[na % 3][nb];
}

const char *fsmoe_suggest(const char *wrong, fsmoe_name_fn name, const void *table)
{
	const char *best = NULL;
	int least = INT_MAX;

	for (int i = 0;; i++)
	{
		const char *candidate = name(table, i);
		int distance, longer;

		if (!candidate)
			return best;
		if (!*candidate)
			continue;
		distance = fsmoe_edit_distance(wrong, candidate);
		longer = (int)strlen(strlen(wrong) > strlen(candidate) ? wrong : candidate);
		/* The beginning of a name stands for the name. */
		if (strlen(wrong) >= 3 && !strncasecmp(wrong, candidate, strlen(wrong)))
			distance = 1;
		if (distance < least && 3 * distance <= longer + 2)
		{
			least = distance;
			best = candidate;
		}
	}
}

const char *fsmoe_name_at(const void *strings, int i)
{
	return ((const char *const *)strings)[i];
}

const char *fsmoe_name_list(fsmoe_name_fn name, const void *table, char *buffer, size_t size)
{
	size_t used = 0;
	const char *here, *next;

	buffer[0] = '\0';
	for (int i = 0, first = 1; (here = name(table, i)); i++)
	{
		if (!*here)
			continue;
		next = name(table, i + 1);
		if (used + strlen(here) + sizeof(" and ...") > size)
		{
			snprintf(buffer + used, size - used, " ...");
			break;
		}
		used += (size_t)snprintf(buffer + used, size - used, "%s%s",
					 first  ? ""
					 : next ? ", "
						: " and ",
					 here);
		first = 0;
	}
	return buffer;
}
