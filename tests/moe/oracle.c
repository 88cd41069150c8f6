/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oracle [FOLDER]: whole layers against what PyTorch said of them (tests/moe/oracle.py wrote it to
 * tests/moe/oracle): outputs and the gradients of everything, in double, by every order that reads
 * the gate, cut in several ways; and in float.
 */
#include "bench.h"
#include "tests/lib/opcase_internal.h"

#include <dirent.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *folder;

struct file
{
	FILE *stream;
	const char *name;
	char gate[32], expert[32], weights[32];
	struct fsmoe_moe_spec spec;
	size_t rows;
	int seed;
};

/* Equals value() of the script. */
static double value(const char *name, int seed, uint32_t i)
{
	char full[100];
	uint32_t h = 2166136261u;

	snprintf(full, sizeof(full), "%s %d", name, seed);
	for (const char *c = full; *c; c++)
		h = (h ^ (unsigned char)*c) * 16777619u;
	h += i * 2654435761u;
	h ^= h >> 15;
	h *= 2246822519u;
	h ^= h >> 13;
	double v = (double)((int)((h >> 8) % 2049) - 1024) / 1024;
	return strstr(name, "temperature") ? 1.5 + v / 4 : v;
}

/* The second line of a file: what layer it is. */
static void open_file(struct file *f, const char *name)
{
	char path[4096];
	int E, k, group, T, M, H, rank, normalize;
	double factor, balance, z;

	*f = (struct file){.name = name};
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f->stream = fopen(path, "r");
	if (!f->stream || fscanf(f->stream,
				 "# %*[^\n] gate=%31s expert=%31s k=%d group=%d factor=%lf "
				 "weights=%31s rank=%d normalize=%d balance=%lf z=%lf seed=%d T=%d "
				 "M=%d H=%d E=%d",
				 f->gate, f->expert, &k, &group, &factor, f->weights, &rank,
				 &normalize, &balance, &z, &f->seed, &T, &M, &H, &E) != 15)
		fail_msg("%s does not begin as tests/moe/oracle.py writes it", path);
	f->rows = (size_t)T;
	f->spec = (struct fsmoe_moe_spec){
		.name = "moe",
		.experts = E,
		.top_k = k,
		.hidden_size = (size_t)M,
		.ffn_size = (size_t)H,
		.capacity_factor = factor,
		.routing_group = (size_t)group,
		.gate = f->gate,
		.expert = f->expert,
		.gate_opts = {.routing_weights = strcmp(f->weights, "-") ? f->weights : NULL,
			      .xmoe_dim = rank,
			      .softmoe_normalize = normalize,
			      .balance_loss = balance,
			      .z_loss = z},
	};
}

static void fill(struct bench *b, const struct file *f)
{
	int n;
	const struct fsmoe_param *param = fsmoe_graph_params(b->graph, &n);

	for (int p = 0; p < n; p++)
		for (size_t i = 0; i < bench_count(b, param[p].tensor); i++)
			bench_set(b, bench_data(b, param[p].tensor), i,
				  value(param[p].spec.name, f->seed, (uint32_t)i));
	for (size_t i = 0; i < bench_count(b, b->dy); i++)
		bench_set(b, bench_data(b, b->dy), i, value("dy", f->seed, (uint32_t)i));
}

/* The next numbers of the file against `data`. */
static void compare(const struct bench *b, struct file *f, const char *what, const void *data,
		    size_t count)
{
	/* Files have 13 digits; sums are of some dozens of terms. */
	const double slack = b->real == FSMOE_F64 ? 1e-11 : 2e-5;

	for (size_t i = 0; i < count; i++)
	{
		double want, got = bench_get(b, data, i);
		if (fscanf(f->stream, "%lf", &want) != 1)
			fail_msg("%s ends before element %zu of %s", f->name, i, what);
		if (!(fabs(got - want) <= slack * (1 + fabs(want))))
			fail_msg("%s with order %s, element %zu of %s: %.13g, but PyTorch says "
				 "%.13g",
				 f->name, f->spec.order, i, what, got, want);
	}
}

static void check_results(struct bench *b, struct file *f)
{
	char name[64];
	size_t count;
	int n, seen = 0;

	while (fscanf(f->stream, "%63s %zu", name, &count) == 2)
	{
		const int is_y = !strcmp(name, "y");
		const void *data = is_y ? bench_data(b, b->y) : bench_grad(b, name);
		fsmoe_tensor_t tensor = is_y ? b->y : bench_param(b, name)->tensor;
		assert_int_equal(count, bench_count(b, tensor));
		compare(b, f, name, data, count);
		seen++;
	}
	fsmoe_graph_params(b->graph, &n);
	assert_int_equal(seen, n + 1); /* no parameter without an oracle */
}

static void try_file(const char *name, const char *order, enum fsmoe_real real, int forward,
		     int backward)
{
	struct file f;
	struct bench b;

	open_file(&f, name);
	f.spec.order = order;
	f.spec.forward_degree = forward;
	f.spec.backward_degree = backward;
	if (fsmoe_order_find(order)->routings & 1u << fsmoe_gate_find(f.gate)->routing)
	{
		bench_setup(&b, &f.spec, real, NULL, 0, f.rows);
		fill(&b, &f);
		if (bench_run_step(&b, NULL, 0)) /* an evaluation: no noise */
			fail_msg("%s", fsmoe_last_error());
		check_results(&b, &f);
		bench_teardown(&b);
	}
	fclose(f.stream);
}

static void layers_are_as_pytorch_says(void **state)
{
	static const int degrees[][2] = {{1, 1}, {3, 2}, {2, 5}};
	struct fsmoe_module_info order[32];
	struct dirent *entry;
	DIR *dir = opendir(folder);
	int norders = 32, files = 0;

	(void)state;
	if (!dir)
		fail_msg("there is no folder %s", folder);
	assert_int_equal(fsmoe_module_list(FSMOE_MODULE_ORDER, order, &norders), 0);
	while ((entry = readdir(dir)))
	{
		if (!strstr(entry->d_name, ".txt"))
			continue;
		for (int o = 0; o < norders; o++)
		{
			for (int d = 0; d < 3; d++)
				try_file(entry->d_name, order[o].name, FSMOE_F64, degrees[d][0],
					 degrees[d][1]);
			try_file(entry->d_name, order[o].name, FSMOE_F32, 2, 3);
		}
		files++;
	}
	closedir(dir);
	assert_true(files > 0);
	printf("%d files\n", files);
}

/* Each gate and expert of the library has a file. */
static void every_module_has_an_oracle(void **state)
{
	static const enum fsmoe_module_kind kinds[] = {FSMOE_MODULE_GATE, FSMOE_MODULE_EXPERT};

	(void)state;
	for (int k = 0; k < 2; k++)
	{
		struct fsmoe_module_info info[32];
		int n = 32;
		assert_int_equal(fsmoe_module_list(kinds[k], info, &n), 0);
		for (int i = 0; i < n; i++)
		{
			struct dirent *entry;
			DIR *dir = opendir(folder);
			int found = 0;
			while (dir && (entry = readdir(dir)))
			{
				struct file f;
				if (!strstr(entry->d_name, ".txt"))
					continue;
				open_file(&f, entry->d_name);
				found |= !strcmp(info[i].name, k ? f.expert : f.gate);
				fclose(f.stream);
			}
			closedir(dir);
			if (!found)
				fail_msg("%s '%s' has no case in tests/moe/oracle.py",
					 fsmoe_module_kind_name(kinds[k]), info[i].name);
		}
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(layers_are_as_pytorch_says),
					   cmocka_unit_test(every_module_has_an_oracle)};
	const char *top = getenv("top_srcdir");
	char path[4096];

	snprintf(path, sizeof(path), "%s/tests/moe/oracle", top ? top : ".");
	folder = argc > 1 ? argv[1] : path;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
