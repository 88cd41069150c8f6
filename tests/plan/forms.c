/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk of a layer against the closed forms that it replaces: the paper's four cases and the
 * greatest of four chains (doc/cost-model.md, 5.2 and 5.3), on random points.
 */
#include "plancase.h"

enum
{
	POINTS = 100000
};

/* Equation 5.3: each of the four is a chain that really stands in the way. */
static double max_form(const struct fsmoe_chunk *c, int r, double gradient)
{
	const double a = c->alltoall, e = c->expert, side = c->allgather + c->reduce_scatter;

	return fmax(fmax(2 * r * a + gradient, 2 * a + side + r * e),
		    fmax(2 * r * a + side, 2 * a + r * side));
}

/* Equation 5.2: the paper's regions Q1 .. Q7. */
static double four_cases(const struct fsmoe_chunk *c, int r, double gradient)
{
	const double a = c->alltoall, g = c->allgather, s = c->reduce_scatter, e = c->expert;
	const int q1 = a > g, q2 = r * e > 2 * (r - 1) * a, q3 = r * e > (r - 1) * (g + s),
		  q4 = gradient > g + s, q5 = gradient > r * e - 2 * (r - 1) * a + g + s,
		  q6 = gradient > r * g + r * s - 2 * (r - 1) * a, q7 = q5;

	if ((q1 && !q2 && q4) || (q1 && q2 && q5) || (!q1 && !q3 && q6) || (!q1 && q3 && q7))
		return 2 * r * a + gradient;
	if ((q1 && q2) || (!q1 && q3))
		return 2 * a + g + s + r * e;
	return q1 ? 2 * r * a + g + s : 2 * a + r * g + r * s;
}

static struct fsmoe_chunk random_chunk(struct draw *d, int equal)
{
	struct fsmoe_chunk c = {.alltoall = between(d, 1e-4, 1e-2),
				.allgather = between(d, 1e-4, 1e-2),
				.expert = between(d, 1e-4, 1e-2)};

	c.reduce_scatter = c.allgather * (equal ? 1 : 0.75 + 0.5 * uniform(d));
	return c;
}

static void the_forms_are_the_walk_where_both_sides_are_equal(void **state)
{
	static const int degrees[] = {1, 2, 3, 4, 8, 13};
	struct draw d = {fsmoe_rng_key(1, "forms"), 0};
	double worst = 0;

	(void)state;
	for (int i = 0; i < POINTS; i++)
	{
		const struct fsmoe_chunk c = random_chunk(&d, 1);
		const int r = degrees[below(&d, 6)];
		const double gradient = below(&d, 3) ? between(&d, 1e-4, 1e-1) : 0;
		const double t =
			fsmoe_layer_walk(fsmoe_schedule_find("fsmoe"), &c, r, gradient, NULL, NULL);

		worst = fmax(worst, fabs(max_form(&c, r, gradient) / t - 1));
		worst = fmax(worst, fabs(four_cases(&c, r, gradient) / t - 1));
	}
	print_message("%d points with t_ag = t_rs: walk, max form and cases differ by %.1e\n",
		      POINTS, worst);
	assert_true(worst < 1e-12);
}

static void the_greatest_chain_is_never_above_the_walk(void **state)
{
	static const int degrees[] = {1, 2, 3, 4, 8, 13};
	struct draw d = {fsmoe_rng_key(2, "forms"), 0};
	double below_walk = 0, case_off = 0;
	int chain = 0, cases = 0;

	(void)state;
	for (int i = 0; i < POINTS; i++)
	{
		const struct fsmoe_chunk c = random_chunk(&d, 0);
		const int r = degrees[below(&d, 6)];
		const double gradient = below(&d, 3) ? between(&d, 1e-4, 1e-1) : 0;
		const double t = fsmoe_layer_walk(fsmoe_schedule_find("fsmoe"), &c, r, gradient,
						  NULL, NULL),
			     short_of = 1 - max_form(&c, r, gradient) / t,
			     off = fabs(four_cases(&c, r, gradient) / t - 1);

		assert_true(short_of > -1e-12);
		chain += short_of > 1e-12;
		cases += off > 1e-12;
		below_walk = fmax(below_walk, short_of);
		case_off = fmax(case_off, off);
	}
	print_message("%d points with t_rs within 25 %% of t_ag: the max form is below the walk at "
		      "%.2f %%, by at most %.2f %%; the cases are off at %.2f %%, by at most "
		      "%.2f %%\n",
		      POINTS, 100.0 * chain / POINTS, 100 * below_walk, 100.0 * cases / POINTS,
		      100 * case_off);
	/* The specification measured 4.1 % and 7.9 % (5.3); more would be another model. */
	assert_true(below_walk < 0.08 && case_off < 0.12);
}

/* The planner relies on this: beside G seconds a layer takes max(seconds, busy + G). */
static void a_gradient_is_hidden_or_adds_to_the_busy_lane(void **state)
{
	struct draw d = {fsmoe_rng_key(3, "forms"), 0};
	struct fsmoe_plan_problem problem = {.max_degree = 9};
	struct fsmoe_schedule deferred = *fsmoe_schedule_find("fsmoe");
	const struct fsmoe_schedule *rows[8];
	int nrows = 0;

	(void)state;
	deferred.weight_gradients = FSMOE_WEIGHT_GRADIENTS_DEFERRED;
	rows[nrows++] = &deferred;
	for (int i = 0; fsmoe_schedule_at(i); i++)
		rows[nrows++] = fsmoe_schedule_at(i);
	for (int i = 0; i < 20000; i++)
	{
		const struct fsmoe_schedule *row = rows[i % nrows];
		const struct fsmoe_layer_cost c = random_layer(&d);
		const double gradient = between(&d, 1e-5, 1e-1);
		struct fsmoe_option_cost *o;
		int n = fsmoe_layer_options(&problem, row, &c, FSMOE_BACKWARD, row->backward_degree,
					    &o);

		assert_int_equal(n, row->backward_degree == FSMOE_DEGREE_ONE ? 1 : 9);
		for (int k = 0; k < n; k++)
		{
			const double t =
				fsmoe_moe_seconds(row, &c, FSMOE_BACKWARD, o[k].degree, gradient);

			assert_true(fabs(fmax(o[k].seconds, o[k].busy + gradient) / t - 1) < 1e-12);
		}
		free(o);
	}
}

/* The order and exclusion that a walk must keep. */
static void events_follow_their_order_and_lanes(void **state)
{
	struct draw d = {fsmoe_rng_key(4, "forms"), 0};

	(void)state;
	for (int i = 0; i < 2000; i++)
	{
		const struct fsmoe_schedule *row = fsmoe_schedule_at(i % FSMOE_PUBLISHED_SCHEDULES);
		const struct fsmoe_layer_cost cost = random_layer(&d);
		const int r = 1 + below(&d, 8);
		struct fsmoe_layer_event e[FSMOE_LAYER_EVENTS(8)];
		double end[FSMOE_NLAYER_TASKS][8] = {{0}}, free_at[FSMOE_NLANES] = {0}, last = 0;
		struct fsmoe_chunk c;
		int n;

		fsmoe_chunk_of(row, &cost, FSMOE_BACKWARD, r, &c);
		const double t = fsmoe_layer_walk(row, &c, r, 1e-3, e, &n);

		assert_int_equal(n, 5 * r + 1);
		for (int k = 0; k < n; k++)
		{
			assert_true(e[k].start >= free_at[e[k].lane]);
			free_at[e[k].lane] = e[k].end;
			last = fmax(last, e[k].end);
			if (e[k].chunk < 0)
				continue;
			if (e[k].task > FSMOE_DISPATCH)
				assert_true(e[k].start >= end[e[k].task - 1][e[k].chunk]);
			end[e[k].task][e[k].chunk] = e[k].end;
		}
		assert_true(last == t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_forms_are_the_walk_where_both_sides_are_equal),
		cmocka_unit_test(the_greatest_chain_is_never_above_the_walk),
		cmocka_unit_test(a_gradient_is_hidden_or_adds_to_the_busy_lane),
		cmocka_unit_test(events_follow_their_order_and_lanes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
