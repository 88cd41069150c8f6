/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/checkpoint.h"

#include <ctype.h>
#include <errno.h>
#include <fsmoe/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Names of our model's parameters in files: GPT-2's names, and Mixtral's for what GPT-2 lacks. In
 * patterns '#' is a number, and '*' at the end any rest. A parameter with `split` is stored as one
 * tensor per index of its first dimension; '@' stands for that index: a letter of `split`, or a
 * number if `split` is empty. Leading dimensions are merged until `ndim` are left (0: as they are).
 * The first rule that fits counts; without one a parameter is stored whole, under its own name.
 */
static const struct rule
{
	const char *param, *stored, *split;
	int ndim;
} rules[] = {
	{"h.#.attn.qkv.weight", "h.#.self_attn.@_proj.weight", "qkv", 2},
	{"h.#.attn.qkv.bias", "h.#.self_attn.@_proj.bias", "qkv", 1},
	{"h.#.attn.out.*", "h.#.self_attn.o_proj.*", NULL, 0},
	{"h.#.moe.experts.w#", "h.#.block_sparse_moe.experts.@.w#.weight", "", 2},
	{"h.#.moe.experts.b#", "h.#.block_sparse_moe.experts.@.w#.bias", "", 1},
	{"h.#.moe.*", "h.#.block_sparse_moe.*", NULL, 0},
};

enum
{
	MOST_NUMBERS = 2,
	MOST_NAME = 256
};

/* The values of a pattern's wildcards. */
struct match
{
	unsigned long number[MOST_NUMBERS];
	int n;
	const char *rest;
};

static int fits(const char *pattern, const char *name, struct match *m)
{
	*m = (struct match){.rest = ""};
	for (; *pattern; pattern++)
	{
		char *end;

		if (*pattern == '*')
		{
			m->rest = name;
			return 1;
		}
		if (*pattern != '#')
		{
			if (*name++ != *pattern)
				return 0;
			continue;
		}
		/* "01" would be read back as "1". */
		if (!isdigit((unsigned char)*name) ||
		    (*name == '0' && isdigit((unsigned char)name[1])))
			return 0;
		m->number[m->n++] = strtoul(name, &end, 10);
		name = end;
	}
	return *name == '\0';
}

static void fill(const struct rule *rule, const struct match *m, size_t place, char *name)
{
	size_t used = 0;
	int number = 0;

	name[0] = '\0';
	for (const char *c = rule->stored; *c && used < MOST_NAME; c++)
	{
		char *at = name + used;
		const size_t room = MOST_NAME - used;

		if (*c == '#')
			used += (size_t)snprintf(at, room, "%lu", m->number[number++]);
		else if (*c == '*')
			used += (size_t)snprintf(at, room, "%s", m->rest);
		else if (*c == '@' && *rule->split)
			used += (size_t)snprintf(at, room, "%c", rule->split[place]);
		else if (*c == '@')
			used += (size_t)snprintf(at, room, "%zu", place);
		else
			used += (size_t)snprintf(at, room, "%c", *c);
	}
}

/* Finds the rule that fits a parameter's name and shape. */
static const struct rule *find_rule(const struct fsmoe_param_spec *spec, struct match *m)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
	{
		const struct rule *rule = &rules[i];

		if (!fits(rule->param, spec->name, m))
			continue;
		if (!rule->split || (spec->global.ndim > rule->ndim &&
				     (!*rule->split || spec->global.dim[0] == strlen(rule->split))))
			return rule;
	}
	return NULL;
}

static struct fsmoe_shape stored_shape(const struct rule *rule, const struct fsmoe_shape *global)
{
	struct fsmoe_shape shape = *global;
	const int drop = global->ndim - 1 - rule->ndim;

	shape.ndim = rule->ndim;
	shape.dim[0] = 1;
	for (int d = 0; d <= drop; d++)
		shape.dim[0] *= global->dim[1 + d];
	for (int d = 1; d < rule->ndim; d++)
		shape.dim[d] = global->dim[1 + drop + d];
	return shape;
}

static int append(struct fsmoe_stored **list, int *n, const struct fsmoe_stored *stored)
{
	struct fsmoe_stored *more = *list;

	/* The room is the next power of two, so it need not be stored. */
	if ((*n & (*n - 1)) == 0)
		more = realloc(*list, (size_t)(*n ? 2 * *n : 1) * sizeof(*more));
	if (!more)
		return fsmoe_fail(ENOMEM, "no memory for the list of a checkpoint's tensors");
	*list = more;
	more[*n] = *stored;
	more[*n].name = strdup(stored->name);
	if (!more[*n].name)
		return fsmoe_fail(ENOMEM, "no memory for the list of a checkpoint's tensors");
	++*n;
	return 0;
}

int fsmoe_stored_append(struct fsmoe_stored **list, int *n, int param,
			const struct fsmoe_param_spec *spec)
{
	char name[MOST_NAME + 32];
	struct match m;
	const struct rule *rule = find_rule(spec, &m);
	struct fsmoe_stored s = {.name = name, .param = param, .shape = spec->global};
	size_t places = rule && rule->split ? spec->global.dim[0] : 1;
	int err = 0;

	s.count = places ? fsmoe_shape_count(&spec->global) / places : 0;
	if (rule && rule->split)
		s.shape = stored_shape(rule, &spec->global);
	for (size_t place = 0; place < places && !err; place++, s.first += s.count)
	{
		if (rule)
			fill(rule, &m, place, name);
		else
			snprintf(name, MOST_NAME, "%s", spec->name);
		err = append(list, n, &s);
	}
	return err;
}
