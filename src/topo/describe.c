/* SPDX-License-Identifier: Apache-2.0 */
#include "topo/topo.h"

#include <fsmoe/error.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Descriptions of machines: words "kind:count" between blanks, '#' to the end of the line is a
 * comment. Nodes are equal; what is left out counts as one.
 */

#define MOST_RANKS (1 << 20) /* far above any machine, far below an int's overflow */

enum kind
{
	NODES,
	DEVICES,
	NKINDS
};

static const struct
{
	const char *word;
	enum kind kind;
} words[] = {
	{"node", NODES},
	{"gpu", DEVICES},
	{"cpu", DEVICES},
	{"device", DEVICES},
};
#define NWORDS (sizeof(words) / sizeof(words[0]))

struct place
{
	const char *path; /* NULL: not from a file */
	int line, column;
};

/* "machine.txt, line 2, column 7" for people, from one. */
static const char *where(const struct place *place, char *buffer, size_t size)
{
	if (place->path)
		snprintf(buffer, size, "%s, line %d, column %d", place->path, place->line,
			 place->column);
	else
		snprintf(buffer, size, "machine description, column %d", place->column);
	return buffer;
}

static int least(int a, int b)
{
	return a < b ? a : b;
}

/* Edit distance of a word of n characters to a known one, upper and lower case alike. */
static int distance(const char *word, int n, const char *known)
{
	int row[32], len = (int)strlen(known);

	for (int j = 0; j <= len; j++)
		row[j] = j;
	for (int i = 1; i <= n; i++)
	{
		int diagonal = row[0];
		row[0] = i;
		for (int j = 1; j <= len; j++)
		{
			int differ = tolower((unsigned char)word[i - 1]) != known[j - 1];
			int best = least(diagonal + differ, 1 + least(row[j], row[j - 1]));
			diagonal = row[j];
			row[j] = best;
		}
	}
	return row[len];
}

static const char *nearest(const char *word, int n)
{
	size_t best = 0;
	for (size_t i = 1; i < NWORDS; i++)
		if (distance(word, n, words[i].word) < distance(word, n, words[best].word))
			best = i;
	return words[best].word;
}

/* One token "kind:count" of n characters. */
static int parse_token(const char *token, int n, const struct place *place, int count[NKINDS])
{
	char at[300];
	const char *colon = memchr(token, ':', (size_t)n);
	int len = colon ? (int)(colon - token) : n;
	size_t i;

	for (i = 0; i < NWORDS; i++)
		if ((int)strlen(words[i].word) == len && memcmp(words[i].word, token, len) == 0)
			break;
	if (i == NWORDS)
		return fsmoe_fail(EINVAL,
				  "%s: \"%.*s\" is not known; did you mean \"%s\"? A machine is "
				  "written as \"node:6 gpu:8\"",
				  where(place, at, sizeof(at)), least(n, 60), token,
				  nearest(token, least(len, 60)));

	long value = 0;
	const char *digit = colon ? colon + 1 : token + n;
	if (digit == token + n)
		value = -1;
	for (; digit < token + n && value >= 0 && value <= MOST_RANKS; digit++)
		value = isdigit((unsigned char)*digit) ? value * 10 + (*digit - '0') : -1;
	if (value < 1 || value > MOST_RANKS)
		return fsmoe_fail(EINVAL,
				  "%s: \"%.*s\" needs a number from 1 to %d after the colon, as in "
				  "\"%s:4\"",
				  where(place, at, sizeof(at)), least(n, 60), token, MOST_RANKS,
				  words[i].word);
	if (count[words[i].kind])
		return fsmoe_fail(EINVAL, "%s: \"%.*s\" says a second time how many %s there are",
				  where(place, at, sizeof(at)), least(n, 60), token,
				  words[i].kind == NODES ? "nodes" : "devices in a node");
	count[words[i].kind] = (int)value;
	return 0;
}

int fsmoe_topo_parse(const char *text, const char *path, int *nodes, int *devices)
{
	struct place place = {path, 1, 1};
	int count[NKINDS] = {0};
	const char *line = text;

	while (*text)
	{
		int n = *text == '#' ? (int)strcspn(text, "\n") : (int)strcspn(text, "# \t\r\n");

		place.column = (int)(text - line) + 1;
		if (n > 0 && *text != '#')
		{
			int ret = parse_token(text, n, &place, count);
			if (ret)
				return ret;
		}
		text += n;
		if (*text == '\n')
		{
			place.line++;
			line = text + 1;
		}
		if (*text && *text != '#')
			text++;
	}

	if (!count[NODES] && !count[DEVICES])
		return fsmoe_fail(
			EINVAL,
			"%s: the machine description is empty; write for example \"node:6 "
			"gpu:8\"",
			path ? path : "machine description");
	for (int i = 0; i < NKINDS; i++)
		if (!count[i])
			count[i] = 1;
	if (count[NODES] > MOST_RANKS / count[DEVICES])
		return fsmoe_fail(EINVAL,
				  "%d nodes of %d devices are more than the %d ranks that "
				  "fsmoe can number",
				  count[NODES], count[DEVICES], MOST_RANKS);
	*nodes = count[NODES];
	*devices = count[DEVICES];
	return 0;
}

int fsmoe_topo_parse_file(const char *path, int *nodes, int *devices)
{
	char text[65536]; /* a machine is two words and some comments */
	FILE *file = fopen(path, "r");

	if (!file)
	{
		int err = errno;
		return fsmoe_fail(err == ENOENT ? ENOENT : EIO,
				  "cannot open the machine description %s: %s", path,
				  strerror(err));
	}
	size_t n = fread(text, 1, sizeof(text) - 1, file);
	int err = ferror(file) ? errno : 0, more = n == sizeof(text) - 1 && fgetc(file) != EOF;
	fclose(file);
	if (err)
		return fsmoe_fail(EIO, "cannot read the machine description %s: %s", path,
				  strerror(err));
	if (more || memchr(text, '\0', n))
		return fsmoe_fail(
			EINVAL,
			"%s is not a machine description: %s; write a line such as \"node:6 "
			"gpu:8\"",
			path, more ? "it is longer than 64 KiB" : "it is not text");
	text[n] = '\0';
	return fsmoe_topo_parse(text, path, nodes, devices);
}
