/* SPDX-License-Identifier: Apache-2.0 */
/* Where gradients go: filling windows, and plans against every cut of a fine grid. */
#include "plancase.h"

#include "plan/gradient_windows.h"

#include <float.h>
#include <time.h>

static void what_is_left_is_what_no_later_window_held(void **state)
{
	const struct fsmoe_gradient_window w[] = {{30, 100}, {20, 0}, {25, 10}, {5, 7}};
	uint64_t bytes[4], left[4];

	(void)state;
	fsmoe_fill_windows(w, 4, 0, 1, 1, bytes, left);
	assert_true(bytes[0] == 30 && bytes[1] == 20 && bytes[2] == 25 && bytes[3] == 5);
	assert_true(left[0] == 35 && left[1] == 0 && left[2] == 0 && left[3] == 2);
}

/* Against the rule itself, byte by byte: nothing before it is complete, nothing longer than its
 * window, nothing lost, and no window with room while something waits. */
static void gradients_are_cut_into_windows(void **state)
{
	enum
	{
		WINDOWS = 12
	};
	struct draw d = {fsmoe_rng_key(5, "cut"), 0};

	(void)state;
	for (int round = 0; round < 2000; round++)
	{
		struct fsmoe_gradient_window w[WINDOWS];
		const double alpha = between(&d, 1e-6, 1e-3), beta = between(&d, 1e-11, 1e-8);
		const int n = 1 + below(&d, WINDOWS);
		uint64_t bytes[WINDOWS + 1], arrived = 0, sent = 0;
		double exposed;

		for (int i = 0; i < n; i++)
			w[i] = (struct fsmoe_gradient_window){
				below(&d, 4) ? between(&d, 1e-5, 1e-2) : 0,
				below(&d, 3) ? 4 * (uint64_t)below(&d, 1000000) : 0};
		assert_int_equal(fsmoe_gradient_cut(w, n, alpha, beta, 4, bytes, &exposed), 0);
		for (int i = 0; i < n; i++)
		{
			const double most = fsmoe_allreduce_bytes(alpha, beta, w[i].seconds);

			arrived += w[i].arrives;
			assert_true(bytes[i] % 4 == 0 && (double)bytes[i] <= most);
			sent += bytes[i];
			assert_true(sent <= arrived);
			assert_true(sent == arrived || (double)bytes[i] > most - 4);
		}
		assert_true(sent + bytes[n] == arrived);
		assert_true(exposed ==
			    (bytes[n] ? fsmoe_line_seconds(alpha, beta, (double)bytes[n]) : 0));
	}
	assert_fails(fsmoe_gradient_cut(NULL, 0, -1, 1, 4, NULL, NULL), EINVAL, "alpha");
	assert_fails(
		fsmoe_gradient_cut(&(struct fsmoe_gradient_window){1, 3}, 1, 0, 1, 4, NULL, NULL),
		EINVAL, "multiples of 4");
}

static void an_allreduce_that_only_starts_sums_nothing(void **state)
{
	(void)state;
	assert_true(fsmoe_allreduce_bytes(1e-3, 1e-9, 1e-3) == 0);
	assert_true(fsmoe_allreduce_bytes(1e-3, 1e-9, 0) == 0);
	assert_float_equal(fsmoe_allreduce_bytes(1e-3, 1e-9, 3e-3), 2e6, 1e-3);
	assert_true(isinf(fsmoe_allreduce_bytes(1e-3, 0, 2e-3)));
}

/* --- plans against a finer grid ----------------------------------------------------------- */

static struct fsmoe_plan_problem random_problem(struct draw *d, struct fsmoe_layer_cost *layer,
						int layers, int equal)
{
	for (int i = 0; i < layers; i++)
		layer[i] = equal && i ? layer[0] : random_layer(d);
	return (struct fsmoe_plan_problem){.layers = layers,
					   .layer = layer,
					   .allreduce_alpha = between(d, 5e-5, 1e-3),
					   .allreduce_beta = between(d, 1e-10, 3e-9),
					   .max_degree = 8};
}

/* Least seconds of backward and end for two layers' gradients in `cells` parts: every cut of the
 * last layer's gradient over the first layer's mixture, dense part and the end. */
static double grid_best(const struct fsmoe_plan_problem *p, const struct fsmoe_schedule *row,
			int cells)
{
	const double g = p->layer[1].gradient_bytes;
	struct fsmoe_option_cost *last, *first;
	int nlast = fsmoe_layer_options(p, row, &p->layer[1], FSMOE_BACKWARD, FSMOE_DEGREE_BEST,
					&last),
	    nfirst = fsmoe_layer_options(p, row, &p->layer[0], FSMOE_BACKWARD, FSMOE_DEGREE_BEST,
					 &first);
	const double before = last[fsmoe_best_option(last, nlast, 0)].seconds +
			      fsmoe_dense_seconds(row, &p->layer[1], FSMOE_BACKWARD, 0);
	double best = DBL_MAX;

	for (int a = 0; a <= cells; a++)
		for (int b = 0; a + b <= cells; b++)
		{
			const double moe = g * a / cells, dense = g * b / cells,
				     rest = g - moe - dense + p->layer[0].gradient_bytes;
			const double x = a ? p->allreduce_alpha + p->allreduce_beta * moe : 0,
				     y = b ? p->allreduce_alpha + p->allreduce_beta * dense : 0;
			const struct fsmoe_option_cost *o =
				&first[fsmoe_best_option(first, nfirst, x)];

			best = fmin(best, before + fmax(o->seconds, o->busy + x) +
						  fsmoe_dense_seconds(row, &p->layer[0],
								      FSMOE_BACKWARD, y) +
						  p->allreduce_alpha + p->allreduce_beta * rest);
		}
	free(last);
	free(first);
	return best;
}

static void two_layers_are_as_good_as_a_fine_grid(void **state)
{
	struct draw d = {fsmoe_rng_key(2, "spread"), 0};
	double worst = 0, gained = 0;

	(void)state;
	for (int i = 0; i < 400; i++)
	{
		const struct fsmoe_schedule *row = fsmoe_schedule_at(4 + i % 2);
		struct fsmoe_layer_cost layer[2];
		const struct fsmoe_plan_problem p = random_problem(&d, layer, 2, 0);
		struct fsmoe_plan plan;

		assert_int_equal(fsmoe_plan_create(&plan, &p, row), 0);
		const double ours = plan.backward + plan.tail_seconds,
			     grid = grid_best(&p, row, 300);

		worst = fmax(worst, ours / grid - 1);
		gained = fmax(gained, 1 - ours / grid);
		fsmoe_plan_destroy(&plan);
	}
	print_message(
		"400 pairs of layers: above the best of 45,000 cuts by at most %.1e, below by "
		"at most %.1e\n",
		worst, gained);
	assert_true(worst < 1e-9);
}

/* A layer's gradients in one to four buffers, one of them perhaps small. */
static void cut_into_buckets(struct draw *d, struct fsmoe_layer_cost *c)
{
	double left = c->gradient_bytes;

	for (c->buckets = 0; c->buckets < below(d, 4); c->buckets++)
	{
		const double one = 4 * floor(left * uniform(d) / (below(d, 2) ? 4 : 400));

		c->bucket_bytes[c->buckets] = one;
		left -= one;
	}
	c->bucket_bytes[c->buckets++] = left;
}

/* --- properties of plans ------------------------------------------------------------------ */

static void every_row_plans_every_model(void **state)
{
	struct draw d = {fsmoe_rng_key(3, "spread"), 0};

	(void)state;
	for (int i = 0; i < 600; i++)
	{
		struct fsmoe_layer_cost layer[12];
		struct fsmoe_plan_problem p =
			random_problem(&d, layer, 1 + below(&d, 12), below(&d, 2));
		double step[6];

		p.steady = below(&d, 3) == 0;
		p.powers = below(&d, 2);
		for (int k = 0; k < p.layers && i % 3 == 0; k++)
			cut_into_buckets(&d, &layer[k]);
		for (int k = 0; k < 6; k++)
		{
			struct fsmoe_plan plan, again;
			char *text, *same;

			/* Made plans are checked by fsmoe_plan_predict on their way. */
			assert_int_equal(fsmoe_plan_create(&plan, &p, fsmoe_schedule_at(k)), 0);
			assert_int_equal(fsmoe_plan_create(&again, &p, fsmoe_schedule_at(k)), 0);
			assert_int_equal(fsmoe_plan_text(&plan, &text), 0);
			assert_int_equal(fsmoe_plan_text(&again, &same), 0);
			assert_string_equal(text, same);
			step[k] = step_seconds(&plan);
			free(text);
			free(same);
			fsmoe_plan_destroy(&plan);
			fsmoe_plan_destroy(&again);
		}
		/* More freedom is never slower, but for whole floats and the millionth of step 2.
		 * Layers that go round do not pass gradients on: that compares only in the row that
		 * does not either, or when there is one. */
		assert_true(step[1] <= step[0] * (1 + 1e-9));
		assert_true(step[4] <= step[2] * (1 + 1e-6));
		if (!p.steady || p.layers == 1)
			assert_true(step[4] <= fmin(step[1], step[3]) * (1 + 1e-6));
	}
}

static void one_layer_has_nothing_to_overlap(void **state)
{
	struct draw d = {fsmoe_rng_key(4, "spread"), 0};
	struct fsmoe_layer_cost layer = random_layer(&d);
	const struct fsmoe_plan_problem p = random_problem(&d, &layer, 1, 1);
	struct fsmoe_plan plan;

	(void)state;
	assert_int_equal(fsmoe_plan_create(&plan, &p, fsmoe_schedule_find("fsmoe")), 0);
	assert_true(plan.layer[0].moe.bytes == 0 && plan.layer[0].dense.bytes == 0);
	assert_true(plan.tail.bytes == (uint64_t)layer.gradient_bytes);
	fsmoe_plan_destroy(&plan);
}

static double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A real step's layer has two buffers: its gate's weights, and the rest. */
static void cut_in_two(struct draw *d, struct fsmoe_layer_cost *c)
{
	c->buckets = 2;
	c->bucket_bytes[0] = 4 * floor(c->gradient_bytes * between(d, 1e-3, 0.5) / 4);
	c->bucket_bytes[1] = c->gradient_bytes - c->bucket_bytes[0];
}

/* The best of three, since others may use the core. */
static double plan_seconds(const struct fsmoe_plan_problem *p)
{
	double took = DBL_MAX;

	for (int k = 0; k < 3; k++)
	{
		const double start = seconds_now();
		struct fsmoe_plan plan;

		assert_int_equal(fsmoe_plan_create(&plan, p, fsmoe_schedule_find("fsmoe")), 0);
		took = fmin(took, seconds_now() - start);
		fsmoe_plan_destroy(&plan);
	}
	return took;
}

/* Times the planning of many models: the slowest and the mean. */
static void time_plans(int equal, int two, double limit)
{
	struct draw d = {fsmoe_rng_key(5, equal ? "equal" : "unequal"), 0},
		    cut = {fsmoe_rng_key(6, "cut"), 0};
	double sum = 0, worst = 0;
	const char *sanitizer = getenv("sanitizer");

	for (int i = 0; i < 200; i++)
	{
		struct fsmoe_layer_cost layer[48];
		const struct fsmoe_plan_problem p = random_problem(&d, layer, 48, equal);
		double took;

		for (int k = 0; k < 48; k++)
		{
			if (equal && k)
			{
				layer[k] = layer[0];
				continue;
			}
			/* Few enough bytes hidden that step 2 has work. */
			layer[k].gradient_bytes = 4 * floor(layer[k].gradient_bytes / 2);
			if (two)
				cut_in_two(&cut, &layer[k]);
		}
		took = plan_seconds(&p);
		sum += took;
		worst = fmax(worst, took);
	}
	print_message("48 %s layers%s: a plan in %.3f ms on average, %.3f ms at most\n",
		      equal ? "equal" : "unequal", two ? " of two buffers" : "", 1e3 * sum / 200,
		      1e3 * worst);
	if (!sanitizer || !strcmp(sanitizer, "no"))
		assert_true(sum / 200 < limit);
}

static void planning_is_quick(void **state)
{
	(void)state;
	time_plans(1, 0, 1e-3);
	time_plans(1, 1, 1e-3);
	time_plans(0, 0, 20e-3);
	time_plans(0, 1, 20e-3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_left_is_what_no_later_window_held),
		cmocka_unit_test(gradients_are_cut_into_windows),
		cmocka_unit_test(an_allreduce_that_only_starts_sums_nothing),
		cmocka_unit_test(two_layers_are_as_good_as_a_fine_grid),
		cmocka_unit_test(every_row_plans_every_model),
		cmocka_unit_test(one_layer_has_nothing_to_overlap),
		cmocka_unit_test(planning_is_quick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
