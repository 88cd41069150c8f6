/* SPDX-License-Identifier: Apache-2.0 */
/* The results of a layer do not depend on its degrees. */
#include "bench.h"
#include "tests/lib/opcase_internal.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void assert_same(const struct bench *a, const void *x, const struct bench *b, const void *y,
			size_t n, double tolerance, const char *what)
{
	for (size_t i = 0; i < n; i++)
	{
		double p = bench_get(a, x, i), q = bench_get(b, y, i);
		if (tolerance == 0 ? p != q : !(fabs(p - q) <= tolerance))
			fail_msg("%s, element %zu: %.17g and %.17g, tolerance %g", what, i, p, q,
				 tolerance);
	}
}

static double largest(const struct bench *b, const void *data, size_t n)
{
	double most = 0;

	for (size_t i = 0; i < n; i++)
		most = fmax(most, fabs(bench_get(b, data, i)));
	return most;
}

/*
 * A BLAS may compute a row of a product in another order of additions when the matrix has other
 * numbers of rows: then other chunks give other roundings, and equal chunks equal bits. With a BLAS
 * that does not, nothing of ours may make a difference either, but for the weights' gradients when
 * every chunk adds its own.
 */
enum strictness
{
	ROUNDING,
	EXACT
};

static void compare(const struct bench *one, const struct bench *many, enum strictness strict,
		    int per_chunk)
{
	int nparams;
	const struct fsmoe_param *param = fsmoe_graph_params(one->graph, &nparams);
	/* Every product is over model, hidden or all tokens. */
	size_t M = bench_count(one, one->x) / one->rows, n = bench_count(one, one->y);
	size_t hidden = bench_param(one, "moe.experts.w1")->spec.global.dim[1];
	size_t experts = bench_param(one, "moe.experts.w1")->spec.global.dim[0];
	size_t length = one->rows + 2 * M + 2 * experts * hidden;
	const void *y = bench_data(one, one->y);

	assert_same(one, y, many, bench_data(many, many->y), n,
		    strict == EXACT ? 0 : opcase_tolerance(one->real, length, largest(one, y, n)),
		    "y");
	for (int p = 0; p < nparams; p++)
	{
		const char *name = param[p].spec.name;
		const void *grad = bench_grad(one, name);
		n = bench_count(one, param[p].tensor);
		assert_same(one, grad, many, bench_grad(many, name), n,
			    strict == EXACT && (!per_chunk || !strstr(name, ".experts."))
				    ? 0
				    : opcase_tolerance(one->real, length, largest(one, grad, n)),
			    name);
	}
}

static void try_degrees(struct fsmoe_moe_spec spec, size_t rows, enum fsmoe_real real,
			enum strictness strict)
{
	static const int degrees[] = {1, 2, 3, 4, 7};
	struct bench one, many, again;

	bench_setup(&one, &spec, real, NULL, 0, rows);
	assert_int_equal(bench_run(&one, NULL), 0);
	for (int i = 0; i < 25; i++)
		for (int per_chunk = 0; per_chunk < 2; per_chunk++)
		{
			const struct fsmoe_schedule *row =
				per_chunk ? fsmoe_schedule_find("fsmoe-no-iio") : NULL;

			spec.forward_degree = degrees[i / 5];
			spec.backward_degree = degrees[i % 5];
			bench_setup_row(&many, row, &spec, real, NULL, 0, rows);
			bench_setup_row(&again, row, &spec, real, NULL, 0, rows);
			assert_int_equal(bench_run(&many, NULL), 0);
			assert_int_equal(bench_run(&again, NULL), 0);
			compare(&one, &many, strict, per_chunk);
			compare(&many, &again, EXACT, 0);
			bench_teardown(&many);
			bench_teardown(&again);
		}
	bench_teardown(&one);
}

static void try_shapes(enum strictness strict)
{
	struct fsmoe_moe_spec odd = {.name = "moe",
				     .experts = 5,
				     .top_k = 2,
				     .hidden_size = 19,
				     .ffn_size = 23,
				     .capacity_factor = 1.2};
	struct fsmoe_moe_spec large = {.name = "moe",
				       .experts = 2,
				       .top_k = 1,
				       .hidden_size = 33,
				       .ffn_size = 48,
				       .routing_group = 60};
	struct fsmoe_moe_spec single = {
		.name = "moe", .experts = 1, .top_k = 1, .hidden_size = 8, .ffn_size = 9};

	struct fsmoe_moe_spec mixtral = odd;

	mixtral.expert = "swiglu";
	for (int real = 0; real < FSMOE_NREALS; real++)
	{
		try_degrees(mixtral, 37, (enum fsmoe_real)real, strict);
		try_degrees(odd, 37, (enum fsmoe_real)real, strict);
		try_degrees(large, 300, (enum fsmoe_real)real, strict);
		try_degrees(single, 10, (enum fsmoe_real)real, strict);
		try_degrees(single, 1, (enum fsmoe_real)real, strict);
	}
}

static void degrees_agree(void **state)
{
	(void)state;
	try_shapes(ROUNDING);
}

/* Whether a row of a product (n, k) is the same in a matrix of any number of rows. */
#define ROWS_ARE_THEIR_OWN(name, real, gemm)                                                       \
	static int name(size_t n, size_t k, CBLAS_TRANSPOSE trans)                                 \
	{                                                                                          \
		enum                                                                               \
		{                                                                                  \
			ROWS = 300,                                                                \
			MOST = 64                                                                  \
		};                                                                                 \
		static real a[ROWS * MOST], w[MOST * MOST], all[ROWS * MOST], some[ROWS * MOST];   \
		int ldw = (int)(trans == CblasTrans ? k : n), same = 1;                            \
                                                                                                   \
		for (size_t i = 0; i < ROWS * MOST; i++)                                           \
			a[i] = (real)(opcase_noise(1, 1, i) - 0.5);                                \
		for (size_t i = 0; i < MOST * MOST; i++)                                           \
			w[i] = (real)(opcase_noise(1, 2, i) - 0.5);                                \
		for (int rows = ROWS; rows > 0; rows--)                                            \
		{                                                                                  \
			real *c = rows == ROWS ? all : some;                                       \
			gemm(CblasRowMajor, CblasNoTrans, trans, rows, (int)n, (int)k, 1, a,       \
			     (int)k, w, ldw, 0, c, (int)n);                                        \
			same &= !memcmp(all, c, (size_t)rows * n * sizeof(*c));                    \
		}                                                                                  \
		return same;                                                                       \
	}
ROWS_ARE_THEIR_OWN(rows_are_their_own_f32, float, cblas_sgemm)
ROWS_ARE_THEIR_OWN(rows_are_their_own_f64, double, cblas_dgemm)

/* For the products of one layer, forward and backward. */
static int blas_is_exact(size_t M, size_t H)
{
	return rows_are_their_own_f32(H, M, CblasTrans) &&
	       rows_are_their_own_f32(M, H, CblasTrans) &&
	       rows_are_their_own_f32(H, M, CblasNoTrans) &&
	       rows_are_their_own_f32(M, H, CblasNoTrans) &&
	       rows_are_their_own_f64(H, M, CblasTrans) &&
	       rows_are_their_own_f64(M, H, CblasTrans) &&
	       rows_are_their_own_f64(H, M, CblasNoTrans) &&
	       rows_are_their_own_f64(M, H, CblasNoTrans);
}

static void exactly(void **state)
{
	(void)state;
	try_shapes(EXACT);
}

static int exact_child(void)
{
	const struct CMUnitTest tests[] = {{"degrees agree", exactly, NULL, NULL, NULL}};

	if (!blas_is_exact(33, 48) || !blas_is_exact(19, 23) || !blas_is_exact(8, 9))
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}

/* Runs this test in a process of its own, with kernels of OpenBLAS that are exact in this sense. */
static void degrees_agree_exactly(void **state)
{
	int status;
	pid_t child;

	(void)state;
#ifdef __x86_64__
	if (!__builtin_cpu_supports("avx"))
		skip();
#endif
	child = fork();
	if (child == 0)
	{
		setenv("OPENBLAS_CORETYPE", "SANDYBRIDGE", 1);
		execl("/proc/self/exe", "degrees", "exact", (char *)NULL);
		_exit(1);
	}
	assert_true(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(degrees_agree),
		cmocka_unit_test(degrees_agree_exactly),
	};

	if (argc > 1 && !strcmp(argv[1], "exact"))
		return exact_child();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
