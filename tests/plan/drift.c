/* SPDX-License-Identifier: Apache-2.0 */
/* The profile watched while training: what drifts is found, what only scatters is not. */
#include "plancase.h"

#include <fsmoe/drift.h>

enum
{
	RANKS = 4,
	ROOM = 512
};

static const double gemm_sizes[] = {1e6, 2e6, 4e6, 8e6, 3e7};

static fsmoe_profile_t a_profile(void)
{
	fsmoe_profile_t p;
	struct fsmoe_fit gemm = {.alpha = 1e-5, .beta = 1e-10}, exchange = {2e-5, 1e-9};

	assert_int_equal(fsmoe_profile_create(&p), 0);
	assert_int_equal(fsmoe_profile_set(p, FSMOE_KIND_GEMM, FSMOE_COMPUTE, &gemm), 0);
	assert_int_equal(fsmoe_profile_set(p, FSMOE_KIND_ALLTOALL, FSMOE_INTER, &exchange), 0);
	assert_int_equal(fsmoe_profile_set(p, FSMOE_KIND_GATE, FSMOE_COMPUTE, &gemm), 0);
	return p;
}

/* `steps` steps of a rank whose products take `gemm` times, and exchanges `exchange` times what
 * the profile says, give or take 10 %, with an interrupt now and then. */
static fsmoe_drift_t a_rank(fsmoe_profile_t p, uint64_t seed, int steps, double gemm,
			    double exchange)
{
	struct draw d = {fsmoe_rng_key(seed, "drift"), 0};
	fsmoe_drift_t drift;
	double t;

	assert_int_equal(fsmoe_drift_create(&drift, p, 0.25), 0);
	for (int s = 0; s < steps; s++)
	{
		for (int i = 0; i < 5; i++)
		{
			fsmoe_profile_predict(p, FSMOE_KIND_GEMM, FSMOE_COMPUTE, gemm_sizes[i], &t);
			t *= gemm * (0.9 + 0.2 * uniform(&d)) * (below(&d, 8) ? 1 : 5);
			assert_int_equal(fsmoe_drift_add(drift, FSMOE_KIND_GEMM, FSMOE_COMPUTE,
							 gemm_sizes[i], t),
					 0);
		}
		fsmoe_profile_predict(p, FSMOE_KIND_ALLTOALL, FSMOE_INTER, 1e6, &t);
		t *= exchange * (0.9 + 0.2 * uniform(&d));
		assert_int_equal(fsmoe_drift_add(drift, FSMOE_KIND_ALLTOALL, FSMOE_INTER, 1e6, t),
				 0);
		/* A trifle that is ten times too slow is no reason. */
		assert_int_equal(fsmoe_drift_add(drift, FSMOE_KIND_GATE, FSMOE_COMPUTE, 10, 1e-4),
				 0);
	}
	return drift;
}

/* The cells of four ranks, rank r's from `first` on. */
static int cells_of(fsmoe_drift_t *rank, struct fsmoe_drift_cell *cell)
{
	int n = 0;

	for (int r = 0; r < RANKS; r++)
	{
		int room = ROOM - n;

		fsmoe_drift_cells(rank[r], cell + n, &room);
		n += room;
	}
	assert_true(n <= ROOM);
	return n;
}

static void decide(const double *gemm, const double *exchange, int steps,
		   struct fsmoe_drift_result *result, fsmoe_profile_t *fresh)
{
	fsmoe_profile_t p = a_profile();
	fsmoe_drift_t rank[RANKS];
	struct fsmoe_drift_cell cell[ROOM], turned[ROOM];
	struct fsmoe_drift_result other;
	int n;

	for (int r = 0; r < RANKS; r++)
		rank[r] = a_rank(p, (uint64_t)r + 1, steps, gemm[r], exchange[r]);
	n = cells_of(rank, cell);
	assert_int_equal(fsmoe_drift_decide(rank[0], cell, n, result, fresh), 0);
	/* Another rank, which got them in another order, finds the same. */
	for (int i = 0; i < n; i++)
		turned[i] = cell[n - 1 - i];
	assert_int_equal(fsmoe_drift_decide(rank[3], turned, n, &other, NULL), 0);
	assert_memory_equal(&other, result, sizeof(other));
	for (int r = 0; r < RANKS; r++)
		fsmoe_drift_destroy(rank[r]);
	fsmoe_profile_destroy(p);
}

static void noise_is_no_drift(void **state)
{
	static const double same[RANKS] = {1, 1.1, 0.9, 1};
	struct fsmoe_drift_result result;
	fsmoe_profile_t fresh = (fsmoe_profile_t)state;

	decide(same, same, 100, &result, &fresh);
	assert_int_equal(result.drifted, 0);
	assert_string_equal(result.sentence, "");
	assert_null(fresh);
}

static void the_slowest_rank_counts_for_computation(void **state)
{
	static const double gemm[RANKS] = {1, 1, 1.5, 1}, exchange[RANKS] = {1, 1, 1, 1};
	struct fsmoe_drift_result result;
	fsmoe_profile_t fresh = NULL;
	double t;

	(void)state;
	decide(gemm, exchange, 100, &result, &fresh);
	assert_int_equal(result.drifted, 1);
	assert_int_equal(result.kind, FSMOE_KIND_GEMM);
	assert_float_equal(result.ratio, 1.5, 0.1);
	assert_non_null(strstr(result.sentence, "gemm on the lane compute"));
	/* The line is laid anew through five sizes; the others stay. */
	assert_int_equal(fsmoe_profile_predict(fresh, FSMOE_KIND_GEMM, FSMOE_COMPUTE, 5e6, &t), 0);
	assert_float_equal(t / (1.5 * (1e-5 + 5e-4)), 1, 0.1);
	assert_int_equal(fsmoe_profile_predict(fresh, FSMOE_KIND_ALLTOALL, FSMOE_INTER, 1e6, &t),
			 0);
	assert_true(t == fsmoe_line_seconds(2e-5, 1e-9, 1e6));
	fsmoe_profile_destroy(fresh);
}

static void who_waits_does_not_slow_communication(void **state)
{
	static const double one[RANKS] = {1, 1, 1, 1}, waits[RANKS] = {3, 3, 1, 3},
			    slow[RANKS] = {3, 3, 2, 3};
	struct fsmoe_drift_result result;
	fsmoe_profile_t fresh = NULL;
	double t;

	(void)state;
	decide(one, waits, 50, &result, &fresh);
	assert_int_equal(result.drifted, 0);
	decide(one, slow, 50, &result, &fresh);
	assert_int_equal(result.drifted, 1);
	assert_int_equal(result.kind, FSMOE_KIND_ALLTOALL);
	/* One size is no line: the old one, twice as long. */
	assert_int_equal(fsmoe_profile_predict(fresh, FSMOE_KIND_ALLTOALL, FSMOE_INTER, 2e6, &t),
			 0);
	assert_float_equal(t / (2 * (2e-5 + 2e-3)), 1, 0.1);
	fsmoe_profile_destroy(fresh);
}

static void few_measurements_say_nothing(void **state)
{
	static const double slow[RANKS] = {9, 9, 9, 9};
	struct fsmoe_drift_result result;

	(void)state;
	decide(slow, slow, FSMOE_DRIFT_LEAST - 1, &result, NULL);
	assert_int_equal(result.drifted, 0);
	decide(slow, slow, FSMOE_DRIFT_LEAST, &result, NULL);
	assert_int_equal(result.drifted, 2);
}

static void old_durations_are_forgotten_and_sizes_bounded(void **state)
{
	fsmoe_profile_t p = a_profile();
	fsmoe_drift_t drift = a_rank(p, 9, 1000, 4, 1), wide;
	struct fsmoe_drift_cell cell[ROOM];
	struct fsmoe_drift_result result;
	int n = ROOM;
	double t;

	(void)state;
	for (int s = 0; s < FSMOE_DRIFT_WINDOW; s++)
		for (int i = 0; i < 5; i++)
		{
			fsmoe_profile_predict(p, FSMOE_KIND_GEMM, FSMOE_COMPUTE, gemm_sizes[i], &t);
			fsmoe_drift_add(drift, FSMOE_KIND_GEMM, FSMOE_COMPUTE, gemm_sizes[i], t);
		}
	fsmoe_drift_cells(drift, cell, &n);
	assert_int_equal(fsmoe_drift_decide(drift, cell, n, &result, NULL), 0);
	assert_int_equal(result.drifted, 0);

	assert_int_equal(fsmoe_drift_create(&wide, p, 0.25), 0);
	for (int i = 0; i < 10000; i++)
	{
		const double size = 1e6 + 1e4 * (i % 1000);

		fsmoe_profile_predict(p, FSMOE_KIND_GEMM, FSMOE_COMPUTE, size, &t);
		assert_int_equal(fsmoe_drift_add(wide, FSMOE_KIND_GEMM, FSMOE_COMPUTE, size, 2 * t),
				 0);
	}
	n = 0;
	fsmoe_drift_cells(wide, NULL, &n);
	assert_int_equal(n, FSMOE_DRIFT_SIZES);
	n = ROOM;
	fsmoe_drift_cells(wide, cell, &n);
	assert_int_equal(fsmoe_drift_decide(wide, cell, n, &result, NULL), 0);
	assert_float_equal(result.ratio, 2, 0.01);
	fsmoe_drift_clear(wide);
	n = ROOM;
	fsmoe_drift_cells(wide, cell, &n);
	assert_int_equal(n, 0);
	assert_fails(fsmoe_drift_create(&wide, p, 0), EINVAL, "above 0");
	fsmoe_drift_destroy(drift);
	fsmoe_drift_destroy(wide);
	fsmoe_profile_destroy(p);
}

/* Transfers that take 100 us to start, of which the profile knows nothing. As long as there is one
 * size, the line is the old one times the ratio; a plan with more chunks brings other sizes, and
 * what was measured before is a part of the line through both. */
static void sizes_of_earlier_plans_count(void **state)
{
	static const double sizes[] = {1e5, 1.2e5, 1e4};
	fsmoe_profile_t p = a_profile(), fresh, better;
	struct fsmoe_drift_cell cell[ROOM];
	struct fsmoe_drift_result result;
	fsmoe_drift_t drift;
	struct fsmoe_fit fit;
	int n;

	(void)state;
	assert_int_equal(fsmoe_drift_create(&drift, p, 0.25), 0);
	for (int plan = 0; plan < 2; plan++)
	{
		for (int i = plan ? 2 : 0; i < (plan ? 3 : 2); i++)
			for (int k = 0; k < 20; k++)
				assert_int_equal(
					fsmoe_drift_add(drift, FSMOE_KIND_ALLTOALL, FSMOE_INTER,
							sizes[i],
							fsmoe_line_seconds(1e-4, 1e-9, sizes[i])),
					0);
		n = ROOM;
		fsmoe_drift_cells(drift, cell, &n);
		assert_int_equal(n, plan ? 3 : 2);
		assert_int_equal(
			fsmoe_drift_decide(drift, cell, n, &result, plan ? &better : &fresh), 0);
		assert_int_equal(result.drifted, 1);
		fsmoe_drift_follow(drift, plan ? better : fresh);
	}
	assert_int_equal(fsmoe_profile_get(fresh, FSMOE_KIND_ALLTOALL, FSMOE_INTER, &fit), 0);
	assert_true(fit.alpha < 5e-5);
	assert_int_equal(fsmoe_profile_get(better, FSMOE_KIND_ALLTOALL, FSMOE_INTER, &fit), 0);
	assert_float_equal(fit.alpha, 1e-4, 1e-6);
	assert_float_equal(fit.beta, 1e-9, 1e-11);
	/* The line holds: nothing that was measured before it says otherwise. */
	n = ROOM;
	fsmoe_drift_cells(drift, cell, &n);
	assert_int_equal(fsmoe_drift_decide(drift, cell, n, &result, NULL), 0);
	assert_int_equal(result.drifted, 0);
	fsmoe_drift_destroy(drift);
	fsmoe_profile_destroy(p);
	fsmoe_profile_destroy(fresh);
	fsmoe_profile_destroy(better);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(noise_is_no_drift),
		cmocka_unit_test(the_slowest_rank_counts_for_computation),
		cmocka_unit_test(who_waits_does_not_slow_communication),
		cmocka_unit_test(few_measurements_say_nothing),
		cmocka_unit_test(sizes_of_earlier_plans_count),
		cmocka_unit_test(old_durations_are_forgotten_and_sizes_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
