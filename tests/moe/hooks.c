/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks: when they are called with what, and that values and gradients go through them. */
#include "bench.h"
#include "tests/lib/opcase_internal.h"

#include <errno.h>
#include <string.h>

static const char *const params[] = {"x",
				     "moe.gate.weight",
				     "moe.experts.w1",
				     "moe.experts.b1",
				     "moe.experts.w2",
				     "moe.experts.b2"};
#define NPARAMS ((int)(sizeof(params) / sizeof(params[0])))

static const struct fsmoe_moe_spec plain = {.name = "moe",
					    .experts = 4,
					    .top_k = 2,
					    .hidden_size = 6,
					    .ffn_size = 5,
					    .capacity_factor = 1.5,
					    .forward_degree = 2,
					    .backward_degree = 3};

/* --- y = factor * x, with its derivative ---------------------------------------------------- */

static int scale_f32(const struct fsmoe_call *call)
{
	for (size_t i = 0; i < fsmoe_shape_count(&call->tensor[0]->shape); i++)
		((float *)call->data[1])[i] =
			*(const float *)call->args * ((const float *)call->data[0])[i];
	return 0;
}

static fsmoe_tensor_t append_scale(fsmoe_graph_t g, fsmoe_tensor_t x, float factor);

static int scale_grad(struct fsmoe_backward *b, const struct fsmoe_node *node)
{
	fsmoe_tensor_t dy = fsmoe_backward_out(b, node->access[1].tensor);

	fsmoe_backward_give(b, node->access[0].tensor,
			    append_scale(fsmoe_backward_graph(b), dy, *(const float *)node->args));
	return 0;
}

static const struct fsmoe_port scale_ports[] = {{"x", FSMOE_R, 0}, {"y", FSMOE_W, 0}};
static const struct fsmoe_op op_scale = {.name = "scale",
					 .doc = "factor * x",
					 .kind = FSMOE_KIND_MEMORY,
					 FSMOE_PORTS(scale_ports),
					 .grad = scale_grad,
					 .cpu = {scale_f32}};

static fsmoe_tensor_t append_scale(fsmoe_graph_t g, fsmoe_tensor_t x, float factor)
{
	fsmoe_tensor_t y;
	int n;

	y = fsmoe_graph_activation(g, FSMOE_REAL, fsmoe_graph_tensors(g, &n)[x].shape, "scaled");
	fsmoe_graph_append(g, &op_scale, &factor, sizeof(factor),
			   (struct fsmoe_access[]){{x, 0, 0}, {y, 1, 0}}, 2);
	return y;
}

static fsmoe_tensor_t scale(const struct fsmoe_hook_call *call, fsmoe_tensor_t x, void *arg)
{
	return append_scale(call->layer->graph, x, *(const float *)arg);
}

/* --- values ------------------------------------------------------------------------------- */

static void assert_scaled(const struct bench *a, const void *x, const struct bench *b,
			  const void *y, size_t n, double factor, const char *what)
{
	for (size_t i = 0; i < n; i++)
		if (bench_get(a, x, i) != factor * bench_get(b, y, i))
			fail_msg("%s, element %zu: %.9g is not %g times %.9g", what, i,
				 bench_get(a, x, i), factor, bench_get(b, y, i));
}

/* With these hooks the output, and every gradient, is `factor` times what it is without. */
static void check_factor(const struct fsmoe_hook *hooks, int nhooks, double factor)
{
	struct fsmoe_moe_spec spec = plain;
	struct bench with, without;

	bench_setup(&without, &spec, FSMOE_F32, NULL, 0, 13);
	assert_int_equal(bench_run(&without, NULL), 0);
	spec.hooks = hooks;
	spec.nhooks = nhooks;
	bench_setup(&with, &spec, FSMOE_F32, NULL, 0, 13);
	assert_int_equal(bench_run(&with, NULL), 0);
	assert_scaled(&with, bench_data(&with, with.y), &without, bench_data(&without, without.y),
		      bench_count(&with, with.y), factor, "y");
	for (int p = 0; p < NPARAMS; p++)
		assert_scaled(&with, bench_grad(&with, params[p]), &without,
			      bench_grad(&without, params[p]),
			      bench_count(&with, bench_param(&with, params[p])->tensor), factor,
			      params[p]);
	bench_teardown(&with);
	bench_teardown(&without);
}

/* Powers of two scale exactly. */
static void results_are_scaled(void **state)
{
	static float two = 2, half = 0.5F, eighth = 0.125F;
	const struct fsmoe_hook end[] = {{"two", FSMOE_BEFORE_MOE_END, scale, NULL, &two}},
				back[] = {{"two", FSMOE_BEFORE_COMBINE, scale, scale, &two},
					  {"8th", FSMOE_AFTER_COMBINE, scale, scale, &eighth}},
				there[] = {{"two", FSMOE_BEFORE_DISPATCH, scale, scale, &two},
					   {"half", FSMOE_AFTER_DISPATCH, scale, scale, &half}},
				start[] = {{"two", FSMOE_BEFORE_MOE_START, scale, NULL, &two},
					   {"half", FSMOE_BEFORE_MOE_START, scale, NULL, &half}};

	(void)state;
	check_factor(NULL, 0, 1);
	check_factor(end, 1, 2);
	check_factor(back, 2, 0.25);
	check_factor(there, 2, 1);
	check_factor(start, 2, 1);
}

/* Where a gradient must come through the hook's own backward: an input scaled only for the experts
 * is the same as first matrices scaled, whose gradients then come out scaled, too. */
static void gradients_go_through(void **state)
{
	static float two = 2;
	const struct fsmoe_hook hooks[] = {{"two", FSMOE_BEFORE_DISPATCH, scale, scale, &two}};
	struct fsmoe_moe_spec spec = plain;
	struct bench a, b;
	float *w1;
	size_t n;

	(void)state;
	bench_setup(&b, &spec, FSMOE_F32, NULL, 0, 13);
	spec.hooks = hooks;
	spec.nhooks = 1;
	bench_setup(&a, &spec, FSMOE_F32, NULL, 0, 13);
	n = bench_count(&b, bench_param(&b, "moe.experts.w1")->tensor);
	w1 = bench_data(&b, bench_param(&b, "moe.experts.w1")->tensor);
	for (size_t i = 0; i < n; i++)
		w1[i] *= 2;
	assert_int_equal(bench_run(&a, NULL), 0);
	assert_int_equal(bench_run(&b, NULL), 0);
	assert_scaled(&a, bench_data(&a, a.y), &b, bench_data(&b, b.y), bench_count(&a, a.y), 1,
		      "y");
	for (int p = 0; p < NPARAMS; p++)
		assert_scaled(&a, bench_grad(&a, params[p]), &b, bench_grad(&b, params[p]),
			      bench_count(&a, bench_param(&a, params[p])->tensor), p == 2 ? 2 : 1,
			      params[p]);
	bench_teardown(&a);
	bench_teardown(&b);
}

/* --- calls -------------------------------------------------------------------------------- */

struct trace
{
	char text[4096];
	const char *name;
	char *to;
};

static fsmoe_tensor_t record(const struct fsmoe_hook_call *call, fsmoe_tensor_t x, void *arg)
{
	const struct trace *t = arg;
	const struct fsmoe_shape *s;
	int n;

	s = &fsmoe_graph_tensors(call->layer->graph, &n)[x].shape;
	snprintf(t->to + strlen(t->to), sizeof(t->text) - strlen(t->to), "%s%s%zu/%zu[%zu,%zu)%zu ",
		 t->name, call->phase == FSMOE_FORWARD ? "+" : "-", call->chunk, call->chunks,
		 call->lo, call->hi, fsmoe_shape_count(s) / plain.hidden_size);
	return x;
}

/* T = 13, 4 experts, 2 * int(1.5 * 4) = 12 slots: 48 rows, in 2 chunks forward, 3 backward. */
static void calls_are_in_order(void **state)
{
	static const char *const names[FSMOE_NHOOKS] = {"s", "d", "D", "c", "C", "e"};
	static struct trace all, traces[FSMOE_NHOOKS + 1];
	struct fsmoe_hook hooks[FSMOE_NHOOKS + 1];
	struct fsmoe_moe_spec spec = plain;
	struct bench b;

	(void)state;
	for (int i = 0; i <= FSMOE_NHOOKS; i++)
	{
		const int place = i < FSMOE_NHOOKS ? i : FSMOE_BEFORE_DISPATCH;
		const int inner = place != FSMOE_BEFORE_MOE_START && place != FSMOE_BEFORE_MOE_END;

		traces[i].to = all.text;
		traces[i].name = i < FSMOE_NHOOKS ? names[i] : "x";
		hooks[i] = (struct fsmoe_hook){traces[i].name, (enum fsmoe_hook_place)place, record,
					       inner ? record : NULL, &traces[i]};
	}
	spec.hooks = hooks;
	spec.nhooks = FSMOE_NHOOKS + 1;
	bench_build(&b, &spec, NULL, 13);
	assert_int_equal(fsmoe_graph_status(b.graph), 0);
	assert_string_equal(all.text, "s+0/1[0,0)13 "
				      "d+0/2[0,6)24 x+0/2[0,6)24 D+0/2[0,6)24 "
				      "d+1/2[6,12)24 x+1/2[6,12)24 D+1/2[6,12)24 "
				      "c+0/2[0,6)24 c+1/2[6,12)24 C+0/2[0,6)24 C+1/2[6,12)24 "
				      "e+0/1[0,0)13 "
				      "C-0/3[0,4)16 c-0/3[0,4)16 C-1/3[4,8)16 c-1/3[4,8)16 "
				      "C-2/3[8,12)16 c-2/3[8,12)16 "
				      "D-0/3[0,4)16 D-1/3[4,8)16 D-2/3[8,12)16 "
				      "x-0/3[0,4)16 d-0/3[0,4)16 x-1/3[4,8)16 d-1/3[4,8)16 "
				      "x-2/3[8,12)16 d-2/3[8,12)16 ");
	bench_teardown(&b);
}

/* --- refusals ----------------------------------------------------------------------------- */

static fsmoe_tensor_t half_of_it(const struct fsmoe_hook_call *call, fsmoe_tensor_t x, void *arg)
{
	(void)arg;
	return fsmoe_graph_view(call->layer->graph, x, 0, FSMOE_SHAPE2(1, plain.hidden_size));
}

static void refuse(struct fsmoe_hook hook, const char *part)
{
	struct fsmoe_moe_spec spec = plain;
	struct bench b;

	spec.hooks = &hook;
	spec.nhooks = 1;
	bench_build(&b, &spec, NULL, 13);
	assert_int_equal(fsmoe_graph_status(b.graph), -EINVAL);
	if (!strstr(fsmoe_last_error(), part))
		fail_msg("'%s' does not say '%s'", fsmoe_last_error(), part);
	bench_teardown(&b);
}

static void wrong_hooks_are_refused(void **state)
{
	(void)state;
	assert_string_equal(fsmoe_hook_place_name(FSMOE_BEFORE_COMBINE), "before-combine");
	refuse((struct fsmoe_hook){"h", FSMOE_BEFORE_COMBINE, record, NULL, NULL},
	       "'moe': hook 'h' at before-combine has no backward");
	refuse((struct fsmoe_hook){"h", FSMOE_BEFORE_MOE_END, record, record, NULL},
	       "differentiated node by node");
	refuse((struct fsmoe_hook){"h", FSMOE_NHOOKS, record, record, NULL}, "place 6");
	refuse((struct fsmoe_hook){"h", FSMOE_BEFORE_MOE_START, half_of_it, NULL, NULL},
	       "'h' at before-moe-start was given (13, 6) and returned (1, 6)");
	refuse((struct fsmoe_hook){"h", FSMOE_BEFORE_DISPATCH, NULL, half_of_it, NULL},
	       "'h' at before-dispatch was given");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results_are_scaled),
		cmocka_unit_test(gradients_go_through),
		cmocka_unit_test(calls_are_in_order),
		cmocka_unit_test(wrong_hooks_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
