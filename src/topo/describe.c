/* SPDX-License-Identifier: Apache-2.0 */
#include "topo/topo.h"
#include "base/suggest.h"

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
#define NWORDS (int)(sizeof(words) / sizeof(words[0]))

struct place
{
	const char *path; /* NULL: not from a file */
	int line, column;
};

/* "machine.txt, line 2, column 7" for people, from one. */
static void where(const struct place *place, char *buffer, size_t size)
{
	if (place->path)
		snprintf(buffer, size, "%s, line %d, column %d", place->path, place->line,
			 place->column);
	else
		snprintf(buffer, size, "machine description, column %d", place->column);
}

static const char *word_at(const void *table, int i)
{
	(void)table;
	return i < NWORDS ? words[i].word : NULL;
}

static int unknown(const char *token, int n, const char *at)
{
	char word[64];
	const char *near;

	snprintf(word, sizeof(word), "%.*s", (int)strcspn(token, ": \t\r\n#"), token);
	near = fsmoe_suggest(word, word_at, NULL);
	return fsmoe_fail(
		EINVAL,
		"%s: \"%.*s\" is not known%s%s%s A machine is written as \"node:6 gpu:8\" "
		"(or cpu, or device)",
		at, n, token, near ? "; did you mean \"" : "", near ? near : "",
		near ? "\"?" : ".");
}

/* One token "kind:count" of n characters. */
static int parse_token(const char *token, int n, const struct place *place, int count[NKINDS])
{
	char at[300];
	const char *colon = memchr(token, ':', (size_t)n);
	int len = colon ? (int)(colon - token) : n;
	int i, shown;

	for (i = 0; i < NWORDS; i++)
		if ((int)strlen(words[i].word) == len && memcmp(words[i].word, token, len) == 0)
			break;
	where(place, at, sizeof(at));
	shown = n < 60 ? n : 60;
	if (i == NWORDS)
		return unknown(token, shown, at);

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
				  at, shown, token, MOST_RANKS, words[i].word);
	if (count[words[i].kind])
		return fsmoe_fail(EINVAL, "%s: \"%.*s\" says a second time how many %s there are",
				  at, shown, token,
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
