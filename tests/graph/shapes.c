/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph.h"
#include "graph/shapes.h"

#include <ctype.h>
#include <fsmoe.h>
#include <fsmoe/error.h>
#include <fsmoe/op.h>
#include <fsmoe/ops.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

/* Letters in the ports of operations: what unifies, every kind of mismatch with its sentence, and
 * the letters of the library's own operations. */

struct given
{
	int flags;
	const char *letters;
	struct fsmoe_shape shape; /* no dimension of extent 0; ndim -1: no tensor */
	enum fsmoe_dtype dtype;
};

static int bind_three(const struct fsmoe_check *check)
{
	fsmoe_check_letter(check, 'k', 3);
	return 0;
}

static int refuse(const struct fsmoe_check *check)
{
	(void)check;
	return fsmoe_fail(22, "refused by its check");
}

static int appends(const struct given *given, int n, int (*check)(const struct fsmoe_check *))
{
	struct fsmoe_port ports[4];
	struct fsmoe_access access[4];
	const struct fsmoe_op op = {.name = "op", .ports = ports, .nports = n, .check = check};
	fsmoe_graph_t g;
	int status;

	assert_int_equal(fsmoe_graph_create(&g, NULL), 0);
	for (int i = 0; i < n; i++)
	{
		char name[8];

		ports[i] = (struct fsmoe_port){&"a\0b\0c\0d"[2 * i], FSMOE_R, given[i].flags,
					       given[i].letters};
		snprintf(name, sizeof(name), "t%d", i);
		access[i] = (struct fsmoe_access){
			given[i].shape.ndim < 0
				? FSMOE_NONE
				: fsmoe_graph_input(g, given[i].dtype, given[i].shape, name),
			(short)i, 0};
	}
	fsmoe_graph_append(g, &op, NULL, 0, access, n);
	status = fsmoe_graph_status(g);
	fsmoe_graph_destroy(g);
	return status;
}

#define REAL(letters, shape)                                                                       \
	{                                                                                          \
		0, letters, shape, FSMOE_REAL                                                      \
	}
#define NOTHING                                                                                    \
	{                                                                                          \
		.ndim = -1                                                                         \
	}

static void right_shapes_unify(void **state)
{
	static const struct
	{
		struct given given[4];
		int n;
		int (*check)(const struct fsmoe_check *);
	} right[] = {
		{{REAL("T M", FSMOE_SHAPE2(5, 3)), REAL("N M", FSMOE_SHAPE2(4, 3)),
		  REAL("T N", FSMOE_SHAPE2(5, 4))},
		 3,
		 NULL},
		/* All dimensions but the last are rows; one word counts elements. */
		{{REAL("T M", FSMOE_SHAPE3(2, 3, 7)), REAL("T*M", FSMOE_SHAPE2(14, 3)),
		  REAL("T", FSMOE_SHAPE3(1, 6, 1))},
		 3,
		 NULL},
		/* A product waits for a later port. */
		{{REAL("E*H M", FSMOE_SHAPE2(6, 5)), REAL("E M", FSMOE_SHAPE2(2, 5)),
		  REAL("2*M+H", FSMOE_SHAPE1(13))},
		 3,
		 NULL},
		{{REAL("P E c M", FSMOE_SHAPE4(2, 3, 4, 5)),
		  REAL("E P _ M+1", FSMOE_SHAPE4(3, 2, 9, 6))},
		 2,
		 NULL},
		{{REAL("T k", FSMOE_SHAPE2(5, 3)), REAL("...", FSMOE_SHAPE3(8, 1, 2))},
		 2,
		 bind_three},
		{{REAL("T M", FSMOE_SHAPE2(5, 3)), {FSMOE_OPTIONAL, "T", NOTHING, FSMOE_REAL}},
		 2,
		 NULL},
		{{{FSMOE_INTS, "T", FSMOE_SHAPE1(5), FSMOE_INT32},
		  {FSMOE_ANY_TYPE, "T", FSMOE_SHAPE1(5), FSMOE_INT32},
		  {FSMOE_ANY_TYPE, "T", FSMOE_SHAPE1(5), FSMOE_INT32}},
		 3,
		 NULL},
		/* No letters: the check's affair, element types too. */
		{{{0, NULL, FSMOE_SHAPE1(5), FSMOE_INT32}, REAL(NULL, FSMOE_SHAPE1(7))}, 2, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++)
		if (appends(right[i].given, right[i].n, right[i].check))
			fail_msg("row %zu: %s", i, fsmoe_last_error());
}

static void wrong_shapes_are_named(void **state)
{
	static const struct
	{
		struct given given[4];
		int n;
		int (*check)(const struct fsmoe_check *);
		const char *sentence;
	} wrong[] = {
		{{REAL("T M", FSMOE_SHAPE2(5, 3)), REAL("N M", FSMOE_SHAPE2(4, 2))},
		 2,
		 NULL,
		 "op: 'b' (N M) must be 4 rows of 3, but 't1' is (4, 2)"},
		{{REAL("T M", FSMOE_SHAPE2(5, 3)), REAL("M", FSMOE_SHAPE2(2, 2))},
		 2,
		 NULL,
		 "op: 'b' (M) must have 3 elements, but 't1' is (2, 2)"},
		{{REAL("T 2", FSMOE_SHAPE2(5, 3))},
		 1,
		 NULL,
		 "op: 'a' (T 2) must be 5 rows of 2, but 't0' is (5, 3)"},
		{{REAL("E M", FSMOE_SHAPE2(2, 5)), REAL("E*H M", FSMOE_SHAPE2(7, 5))},
		 2,
		 NULL,
		 "op: 'b' (E*H M): no H makes 7 of 0 + 2 H; 't1' is (7, 5)"},
		{{REAL("P E c M", FSMOE_SHAPE4(2, 3, 4, 5)),
		  REAL("E P _ M", FSMOE_SHAPE4(2, 3, 4, 5))},
		 2,
		 NULL,
		 "op: 'b' (E P _ M) must be (3, 2, 4, 5), but 't1' is (2, 3, 4, 5)"},
		{{REAL("P E M", FSMOE_SHAPE2(6, 5))},
		 1,
		 NULL,
		 "op: 'a' (P E M) must have 3 dimensions, but 't0' is (6, 5)"},
		{{REAL("T k", FSMOE_SHAPE2(5, 4))},
		 1,
		 bind_three,
		 "op: 'a' (T k) must be 5 rows of 3, but 't0' is (5, 4)"},
		{{REAL("T", FSMOE_SHAPE1(5)), {FSMOE_INTS, "T", FSMOE_SHAPE1(5), FSMOE_REAL}},
		 2,
		 NULL,
		 "op: 'b' must hold int32, but 't1' holds reals"},
		{{{0, "...", FSMOE_SHAPE1(5), FSMOE_INT32}},
		 1,
		 NULL,
		 "op: 'a' must hold reals, but 't0' holds int32"},
		{{{FSMOE_ANY_TYPE, "n", FSMOE_SHAPE1(5), FSMOE_INT32},
		  {FSMOE_ANY_TYPE, "n", FSMOE_SHAPE1(5), FSMOE_REAL}},
		 2,
		 NULL,
		 "op: 'b' must hold int32, but 't1' holds reals"},
		{{{0, NULL, FSMOE_SHAPE1(5), FSMOE_INT32}}, 1, refuse, "refused by its check"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		assert_true(appends(wrong[i].given, wrong[i].n, wrong[i].check) < 0);
		assert_string_equal(fsmoe_last_error(), wrong[i].sentence);
	}
}

/* Letters, digits, and of signs only those of the notation, with a single space between words. */
static void assert_well_formed(const struct fsmoe_op *op, const struct fsmoe_port *port)
{
	const char *s = port->shape;

	if (!s || !*s)
		fail_msg("operation '%s': port '%s' has no letters", op->name, port->name);
	if (!strcmp(s, "..."))
		return;
	for (const char *at = s; *at; at++)
		if (!(strchr(" *+", *at) ? at > s && (isalnum((unsigned char)at[1]) || at[1] == '_')
					 : isalnum((unsigned char)*at) || *at == '_'))
			fail_msg("operation '%s': port '%s' has letters '%s'", op->name, port->name,
				 s);
}

static void operations_of_the_library(void **state)
{
	const struct fsmoe_op *op, *other;
	int n = 0;

	(void)state;
	for (; (op = fsmoe_op_at(n)); n++)
	{
		assert_true(op->name[0] && op->doc && op->doc[0] && op->nports > 0);
		assert_non_null(op->cpu[FSMOE_F32]);
		assert_non_null(op->cpu[FSMOE_F64]);
		for (int p = 0; p < op->nports; p++)
			assert_well_formed(op, &op->ports[p]);
		for (int i = 0; i < n && (other = fsmoe_op_at(i)); i++)
			assert_string_not_equal(other->name, op->name);
	}
	assert_true(n > 50);
	assert_null(fsmoe_op_at(-1));
}

static fsmoe_tensor_t param(fsmoe_graph_t g, const char *name, struct fsmoe_shape shape)
{
	return fsmoe_graph_param(g, &(struct fsmoe_param_spec){.name = name,
							       .global = shape,
							       .reduce = FSMOE_GROUP_WORLD});
}

/* A small network with its backward, in which no two extents are equal. */
static void build_network(fsmoe_graph_t g)
{
	fsmoe_tensor_t tokens = fsmoe_graph_input(g, FSMOE_INT32, FSMOE_SHAPE1(14), "tokens");
	fsmoe_tensor_t x = fsmoe_embedding(g, tokens, param(g, "table", FSMOE_SHAPE2(23, 6)),
					   FSMOE_NONE, 0, 0);
	fsmoe_tensor_t n = fsmoe_layer_norm(g, x, param(g, "gamma", FSMOE_SHAPE1(6)),
					    param(g, "beta", FSMOE_SHAPE1(6)));
	fsmoe_tensor_t qkv = fsmoe_linear(g, n, param(g, "qkv", FSMOE_SHAPE2(18, 6)),
					  param(g, "bias", FSMOE_SHAPE1(18)));
	fsmoe_tensor_t a = fsmoe_attention(g, qkv, &(struct fsmoe_attention_args){2, 7, 2, 3, 1});
	fsmoe_tensor_t r = fsmoe_residual(g, x, a, param(g, "rest", FSMOE_SHAPE1(6)));
	fsmoe_tensor_t logits =
		fsmoe_linear(g, r, param(g, "out", FSMOE_SHAPE2(23, 6)), FSMOE_NONE);

	fsmoe_graph_backward(g, fsmoe_cross_entropy(g, logits, tokens, 1));
	assert_int_equal(fsmoe_graph_status(g), 0);
}

/* Two words of one port change places: the node that was right must be refused. */
static int swapped_is_refused(fsmoe_graph_t g, const struct fsmoe_node *node, int p)
{
	struct fsmoe_port ports[16];
	struct fsmoe_op mutant = *node->op;
	const char *second = strchr(node->op->ports[p].shape, ' ');
	char swapped[64];

	snprintf(swapped, sizeof(swapped), "%s %.*s", second + 1,
		 (int)(second - node->op->ports[p].shape), node->op->ports[p].shape);
	memcpy(ports, node->op->ports, (size_t)mutant.nports * sizeof(*ports));
	ports[p].shape = swapped;
	mutant.ports = ports;
	return fsmoe_check_node(g, &mutant, node->args, node->access, node->naccess) < 0;
}

static void swapped_letters_are_noticed(void **state)
{
	int nnodes, mutants = 0;
	fsmoe_graph_t g;

	(void)state;
	assert_int_equal(fsmoe_graph_create(&g, NULL), 0);
	build_network(g);
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(g, &nnodes);
	for (int i = 0; i < nnodes; i++)
		for (int a = 0; a < nodes[i].naccess; a++)
		{
			const struct fsmoe_port *port =
				&nodes[i].op->ports[nodes[i].access[a].port];
			if (nodes[i].access[a].tensor == FSMOE_NONE || !strchr(port->shape, ' '))
				continue;
			if (!swapped_is_refused(g, &nodes[i], nodes[i].access[a].port))
				fail_msg("operation '%s' with the letters of '%s' swapped",
					 nodes[i].op->name, port->name);
			mutants++;
		}
	assert_true(mutants > 30);
	fsmoe_graph_destroy(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(right_shapes_unify),
		cmocka_unit_test(wrong_shapes_are_named),
		cmocka_unit_test(operations_of_the_library),
		cmocka_unit_test(swapped_letters_are_noticed),
	};

	return cmocka_run_group_tests_name("shapes", tests, NULL, NULL);
}
