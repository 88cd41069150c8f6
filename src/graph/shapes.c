/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/shapes.h"

#include "graph/graph.h"

#include <ctype.h>
#include <errno.h>
#include <fsmoe/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fsmoe_letters
{
	size_t extent[128];
	char known[128];
};

/* A word's extent: constant + factor * unknown. More than one unknown letter: open. */
struct extent
{
	size_t constant, factor;
	int unknown, open;
};

const char *fsmoe_shape_text(char buffer[FSMOE_SHAPE_TEXT], const struct fsmoe_shape *shape)
{
	int at = snprintf(buffer, FSMOE_SHAPE_TEXT, "(");

	for (int i = 0; i < shape->ndim; i++)
		at += snprintf(buffer + at, FSMOE_SHAPE_TEXT - (size_t)at, i ? ", %zu" : "%zu",
			       shape->dim[i]);
	snprintf(buffer + at, FSMOE_SHAPE_TEXT - (size_t)at, ")");
	return buffer;
}

void fsmoe_check_letter(const struct fsmoe_check *check, char letter, size_t extent)
{
	check->letters->extent[(int)letter] = extent;
	check->letters->known[(int)letter] = 1;
}

static const char *next_word(const char *word)
{
	word = strchr(word, ' ');
	return word ? word + 1 : NULL;
}

static int words_of(const char *shape)
{
	int n = 0;

	for (; shape; shape = next_word(shape))
		n++;
	return n;
}

static struct extent evaluate(const struct fsmoe_letters *letters, const char *word)
{
	struct extent e = {0};

	while (*word && *word != ' ')
	{
		size_t product = 1;
		int unknown = 0;

		for (; *word && !strchr(" +", *word); word += *word == '*')
		{
			if (isdigit((unsigned char)*word))
			{
				product *= strtoul(word, (char **)&word, 10);
				continue;
			}
			if (letters->known[*word & 127])
				product *= letters->extent[*word & 127];
			else
			{
				e.open |= unknown != 0;
				unknown = *word;
			}
			word++;
		}
		e.open |= unknown && e.unknown;
		if (unknown)
		{
			e.unknown = unknown;
			e.factor = product;
		}
		else
			e.constant += product;
		word += *word == '+';
	}
	return e;
}

/* The tensor's extent at word i of n. */
static size_t extent_at(const struct fsmoe_shape *shape, int i, int n)
{
	size_t product = 1;
	int first = i, last = i + 1;

	if (n <= 2) /* one word: all elements; two: rows and columns */
	{
		first = i == 0 ? 0 : shape->ndim - 1;
		last = i == 0 && n == 2 ? shape->ndim - 1 : shape->ndim;
	}
	for (int k = first < 0 ? 0 : first; k < last; k++)
		product *= shape->dim[k];
	return product;
}

/* 0: fits, or says nothing yet; 1: fits and a letter is now known; -1: does not fit. */
static int unify(struct fsmoe_letters *letters, const char *word, size_t extent)
{
	const struct extent e = evaluate(letters, word);

	if (!e.unknown)
		return extent == e.constant ? 0 : -1;
	if (e.open || e.unknown == '_')
		return 0;
	if (e.factor == 0 || extent < e.constant || (extent - e.constant) % e.factor)
		return -1;
	letters->extent[e.unknown] = (extent - e.constant) / e.factor;
	letters->known[e.unknown] = 1;
	return 1;
}

static int fail_shape(const struct fsmoe_check *c, int i)
{
	const struct fsmoe_port *port = &c->op->ports[c->access[i].port];
	const struct fsmoe_shape *has = &c->tensor[i]->shape;
	const int n = words_of(port->shape), fits = n <= 2 || n == has->ndim;
	struct fsmoe_shape want = {.ndim = n};
	char wanted[FSMOE_SHAPE_TEXT], text[FSMOE_SHAPE_TEXT];
	const char *word = port->shape;

	for (int k = 0; k < n; k++, word = next_word(word))
	{
		const struct extent e = evaluate(c->letters, word);

		want.dim[k] = e.constant;
		if (!e.unknown)
			continue;
		want.dim[k] = fits ? extent_at(has, k, n) : 0;
		if (fits && unify(c->letters, word, want.dim[k]) < 0)
			return fsmoe_fail(
				EINVAL,
				"%s: '%s' (%s): no %c makes %zu of %zu + %zu %c; '%s' is %s",
				c->op->name, port->name, port->shape, e.unknown, want.dim[k],
				e.constant, e.factor, e.unknown, c->tensor[i]->name,
				fsmoe_shape_text(text, has));
	}
	if (n == 1)
		snprintf(wanted, sizeof(wanted), "have %zu elements", want.dim[0]);
	else if (n == 2)
		snprintf(wanted, sizeof(wanted), "be %zu rows of %zu", want.dim[0], want.dim[1]);
	else if (fits)
		snprintf(wanted, sizeof(wanted), "be %s", fsmoe_shape_text(text, &want));
	else
		snprintf(wanted, sizeof(wanted), "have %d dimensions", n);
	return fsmoe_fail(EINVAL, "%s: '%s' (%s) must %s, but '%s' is %s", c->op->name, port->name,
			  port->shape, wanted, c->tensor[i]->name, fsmoe_shape_text(text, has));
}

/* As `unify` says of the words of one access; a word that does not fit comes before others. */
static int unify_access(const struct fsmoe_check *c, int i)
{
	const char *shape = c->op->ports[c->access[i].port].shape;
	int known = 0;

	if (!c->tensor[i] || !shape || !strcmp(shape, "..."))
		return 0;

	const struct fsmoe_shape *has = &c->tensor[i]->shape;
	const int n = words_of(shape);
	if (n > 2 && has->ndim != n)
		return -1;
	for (int k = 0; k < n; k++, shape = next_word(shape))
	{
		int status = unify(c->letters, shape, extent_at(has, k, n));
		if (status < 0)
			return -1;
		known |= status;
	}
	return known;
}

static int check_types(const struct fsmoe_check *c)
{
	const struct fsmoe_tensor_info *any = NULL;

	for (int i = 0; i < c->n; i++)
	{
		const struct fsmoe_port *port = &c->op->ports[c->access[i].port];
		int want = (port->flags & FSMOE_INTS) != 0, has;

		if (!c->tensor[i] || !port->shape)
			continue;
		has = c->tensor[i]->dtype == FSMOE_INT32;
		if (port->flags & FSMOE_ANY_TYPE)
		{
			any = any ? any : c->tensor[i];
			want = any->dtype == FSMOE_INT32;
		}
		if (want != has)
			return fsmoe_fail(EINVAL, "%s: '%s' must hold %s, but '%s' holds %s",
					  c->op->name, port->name, want ? "int32" : "reals",
					  c->tensor[i]->name, has ? "int32" : "reals");
	}
	return 0;
}

int fsmoe_check_node(fsmoe_graph_t graph, const struct fsmoe_op *op, const void *args,
		     const struct fsmoe_access *access, int n)
{
	const struct fsmoe_tensor_info *tensor[n > 0 ? n : 1];
	struct fsmoe_letters letters = {0};
	const struct fsmoe_check check = {.graph = graph,
					  .op = op,
					  .args = args,
					  .access = access,
					  .tensor = tensor,
					  .n = n,
					  .letters = &letters};

	for (int i = 0; i < n; i++)
		tensor[i] =
			access[i].tensor == FSMOE_NONE ? NULL : &graph->tensors[access[i].tensor];
	if (check_types(&check))
		return -EINVAL;

	int err = op->check ? op->check(&check) : 0;
	/* A word of several letters may wait for a later port. */
	for (int more = 1; more && !err;)
	{
		more = 0;
		for (int i = 0; i < n; i++)
		{
			int status = unify_access(&check, i);
			if (status < 0)
				return fail_shape(&check, i);
			more |= status;
		}
	}
	return err;
}
