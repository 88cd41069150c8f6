/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "check.h"
#include "gpu/device.h"
#include "gpu/lanes.h"
#include "share.h"
#include "tests/lib/try.h"
#include "tests/lib/opcase_internal.h"

#include <fsmoe/error.h>
#include <fsmoe/runtime.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * Every case of a table on a GPU, in float and in bf16, in place of the tests of
 * tests/lib/opcase_main.c: outputs and gradients of parameters against the double kernels on the
 * CPU, within a tolerance computed from the type; integers, hence every choice of every gate, equal
 * to the float kernels'; a second run leaves the same bits; elements that no kernel wrote are NaN;
 * every operation has CUDA kernels. In bf16 every tensor has the same bits under StarPU as on
 * bare streams.
 *
 * Leaves of a bf16 run are numbers that bf16 holds, on either side: gates then see the same ones.
 */

static const struct
{
	enum fsmoe_real real;
	const char *name;
} runs[] = {{FSMOE_F32, "float"}, {FSMOE_BF16, "bf16"}};

static fsmoe_runtime_t starpu;   /* of a bf16 run; NULL: only bare streams */
static struct fsmoe_lanes lanes; /* of all runs of a slow tool, for which cuBLAS starts slowly */
static struct share share;
static double worst[2]; /* error over tolerance, of the case in hand, by run */

static void run_on_gpu(const struct opcase_graph *og, struct fsmoe_device_memory *memory)
{
	const struct fsmoe_stream_opts opts = {.lanes = share.sizes ? &lanes : NULL};
	struct fsmoe_stream *stream = NULL;

	if (fsmoe_device_memory_fill(memory, 0xff) ||
	    fsmoe_device_memory_upload(memory, og->memory) ||
	    fsmoe_stream_create(&stream, og->graph, memory, NULL, &opts) ||
	    fsmoe_stream_submit(stream, &opcase_step) || fsmoe_stream_wait(stream))
		fail_msg("%s: %s", og->c->name, fsmoe_last_error());
	fsmoe_stream_destroy(stream);
}

static void read_tensor(struct fsmoe_device_memory *memory, const struct fsmoe_tensor_info *info,
			fsmoe_tensor_t tensor, void *data)
{
	if (fsmoe_device_memory_read(memory, tensor, data, 4 * fsmoe_shape_count(&info->shape)))
		fail_msg("%s", fsmoe_last_error());
}

static double magnitude(const double *x, size_t n)
{
	double most = 0;

	for (size_t i = 0; i < n; i++)
		most = fmax(most, fabs(x[i]));
	return most;
}

static int complaints; /* of the case in hand; it goes on, so that one run tells all */
enum
{
	MOST_COMPLAINTS = 12
};

struct trio
{
	int run;
	struct opcase_graph gpu, f32, f64;
	struct fsmoe_device_memory *memory;
};

static void compare(const struct trio *t, const char *what, int which, fsmoe_tensor_t tensor)
{
	const struct fsmoe_tensor_info *info = opcase_info(&t->gpu, tensor);
	size_t n, *size = (size_t *)t->gpu.size;
	double *want =
		opcase_graph_read(info->dtype == FSMOE_INT32 ? &t->f32 : &t->f64, tensor, &n);
	double tolerance =
		info->dtype == FSMOE_INT32
			? 0
			: opcase_graph_tolerance(&t->f64, runs[t->run].real, magnitude(want, n));
	void *raw = malloc(4 * n + 4);

	assert_non_null(raw);
	read_tensor(t->memory, info, tensor, raw);
	for (size_t i = 0; i < n; i++)
	{
		double got = info->dtype == FSMOE_INT32 ? (double)((int32_t *)raw)[i]
							: (double)((float *)raw)[i];
		double off = fabs(got - want[i]);
		if (tolerance > 0 && off / tolerance > worst[t->run])
			worst[t->run] = off / tolerance;
		if (off <= tolerance || complaints++ > MOST_COMPLAINTS)
			continue;
		print_error("%s in %s at size %zu %zu %zu %zu %zu %zu %zu: %s %d, element %zu of "
			    "%zu: the GPU has %.9g, the CPU %.9g, tolerance %.3g\n",
			    t->gpu.c->name, runs[t->run].name, size[0], size[1], size[2], size[3],
			    size[4], size[5], size[6], what, which, i, n, got, want[i], tolerance);
		break;
	}
	free(raw);
	free(want);
}

/* All tensors of one run, as the device has them. */
static char *snapshot(const struct trio *t, size_t *bytes)
{
	int n;
	const struct fsmoe_tensor_info *info = fsmoe_graph_tensors(t->gpu.graph, &n);
	size_t room = 4;
	char *all, *at;

	for (int i = 0; i < n; i++)
		room += info[i].base == i ? 4 * fsmoe_shape_count(&info[i].shape) : 0;
	all = at = malloc(room);
	assert_non_null(all);
	for (int i = 0; i < n; i++)
	{
		if (info[i].base != i)
			continue;
		read_tensor(t->memory, &info[i], i, at);
		at += 4 * fsmoe_shape_count(&info[i].shape);
	}
	*bytes = (size_t)(at - all);
	return all;
}

/* All tensors after a step under StarPU that begins as run_on_gpu does. */
static char *snapshot_under_starpu(const struct trio *t, size_t bytes)
{
	int n;
	const struct fsmoe_tensor_info *info = fsmoe_graph_tensors(t->gpu.graph, &n);
	char *all = malloc(bytes + 4), *at = all;
	fsmoe_program_t program;

	assert_non_null(all);
	TRY(fsmoe_program_create(&program, starpu, t->gpu.graph, t->gpu.memory));
	memset(all, 0xff, bytes);
	for (int i = 0; i < n; i++)
		if (info[i].base == i && info[i].role == FSMOE_ACTIVATION)
			TRY(fsmoe_program_write(program, i, all,
						4 * fsmoe_shape_count(&info[i].shape)));
	TRY(fsmoe_program_submit(program, &opcase_step));
	TRY(fsmoe_program_wait(program));
	for (int i = 0; i < n; i++)
	{
		if (info[i].base != i)
			continue;
		TRY(fsmoe_program_read(program, i, at, 4 * fsmoe_shape_count(&info[i].shape)));
		at += 4 * fsmoe_shape_count(&info[i].shape);
	}
	fsmoe_program_destroy(program);
	return all;
}

/* Room that a kernel may leave as it was. */
static int is_scratch(const struct trio *t, fsmoe_tensor_t base)
{
	int nnodes, ntensors;
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(t->gpu.graph, &nnodes);
	const struct fsmoe_tensor_info *info = fsmoe_graph_tensors(t->gpu.graph, &ntensors);

	for (int i = 0; i < nnodes; i++)
		for (int k = 0; k < nodes[i].naccess; k++)
		{
			const struct fsmoe_access *a = &nodes[i].access[k];
			if (a->tensor != FSMOE_NONE && info[a->tensor].base == base &&
			    nodes[i].op->ports[a->port].flags & FSMOE_SCRATCH)
				return 1;
		}
	return 0;
}

/* Which tensor it is that differs. */
static void compare_snapshots(const struct trio *t, const char *a, const char *b, const char *what)
{
	int n;
	const struct fsmoe_tensor_info *info = fsmoe_graph_tensors(t->gpu.graph, &n);
	const size_t *size = t->gpu.size;

	for (int i = 0; i < n; i++)
	{
		const size_t bytes = 4 * fsmoe_shape_count(&info[i].shape);

		if (info[i].base != i)
			continue;
		if (!is_scratch(t, i) && memcmp(a, b, bytes) && complaints++ < MOST_COMPLAINTS)
			print_error(
				"%s in %s at size %zu %zu %zu %zu: %s left other bits in '%s'\n",
				t->gpu.c->name, runs[t->run].name, size[0], size[1], size[2],
				size[3], what, info[i].name);
		a += bytes;
		b += bytes;
	}
}

static void check_rows(const struct opcase_graph *og)
{
	int n;
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(og->graph, &n);

	for (int i = 0; i < n; i++)
		if (!(nodes[i].op->cuda && nodes[i].op->cuda_bf16) &&
		    strncmp(nodes[i].op->name, "opcase.", 7))
			fail_msg("%s: operation '%s' has no CUDA kernel for both runs", og->c->name,
				 nodes[i].op->name);
}

/* Compares the decisions of every gate, even if the case does not look at them. */
static void compare_choices(const struct trio *t)
{
	int n;
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(t->gpu.graph, &n);

	for (int i = 0; i < n; i++)
		for (int k = 0; k < nodes[i].naccess; k++)
		{
			const struct fsmoe_access *a = &nodes[i].access[k];
			if (a->tensor != FSMOE_NONE && a->mode & FSMOE_W &&
			    !(nodes[i].op->ports[a->port].flags & FSMOE_SCRATCH) &&
			    opcase_info(&t->gpu, a->tensor)->dtype == FSMOE_INT32)
				compare(t, nodes[i].op->name, k, a->tensor);
		}
}

/* A float that has only the first 16 bits. */
static double cut(double x)
{
	float f = (float)x;
	uint32_t bits;

	memcpy(&bits, &f, sizeof(bits));
	bits &= 0xffff0000;
	memcpy(&f, &bits, sizeof(bits));
	return (double)f;
}

static void cut_leaves(struct opcase_graph *og)
{
	for (int l = 0; l < og->nleaves; l++)
	{
		void *x = fsmoe_memory_data(og->memory, og->leaf[l].tensor);
		size_t n = fsmoe_shape_count(&opcase_info(og, og->leaf[l].tensor)->shape);
		for (size_t i = 0; og->leaf[l].kind != OPCASE_LEAF_INTS && i < n; i++)
			if (fsmoe_memory_real(og->memory) == FSMOE_F64)
				((double *)x)[i] = cut(((double *)x)[i]);
			else
				((float *)x)[i] = (float)cut(((float *)x)[i]);
	}
}

static void setup(struct trio *t, const struct opcase *c, const size_t *size)
{
	opcase_graph_setup(&t->gpu, c, size, 1, FSMOE_F32);
	opcase_graph_setup(&t->f32, c, size, 1, FSMOE_F32);
	opcase_graph_setup(&t->f64, c, size, 1, FSMOE_F64);
	if (runs[t->run].real == FSMOE_BF16)
	{
		cut_leaves(&t->gpu);
		cut_leaves(&t->f32);
		cut_leaves(&t->f64);
	}
	opcase_graph_execute(&t->f32);
	opcase_graph_execute(&t->f64);
	if (fsmoe_device_memory_create_as(&t->memory, t->gpu.graph, 0, runs[t->run].real))
		fail_msg("%s: %s", c->name, fsmoe_last_error());
}

/* On streams, and in bf16 under StarPU. */
static void run_again(const struct trio *t)
{
	char *first, *second;
	size_t bytes;

	first = snapshot(t, &bytes);
	run_on_gpu(&t->gpu, t->memory);
	second = snapshot(t, &bytes);
	compare_snapshots(t, first, second, "a second run");
	free(second);
	if (runs[t->run].real == FSMOE_BF16)
	{
		second = snapshot_under_starpu(t, bytes);
		compare_snapshots(t, first, second, "a run under StarPU");
		free(second);
	}
	free(first);
}

static void case_at(const struct opcase *c, const size_t *size, int run)
{
	struct trio t = {.run = run};

	setup(&t, c, size);
	check_rows(&t.gpu);
	run_on_gpu(&t.gpu, t.memory);
	compare_choices(&t);
	for (int k = 0; k < t.gpu.nouts; k++)
		compare(&t, "output", k, t.gpu.out[k]);
	for (int l = 0; l < t.gpu.nleaves; l++)
		if (t.gpu.leaf[l].kind == OPCASE_LEAF_PARAM &&
		    opcase_info(&t.gpu, t.gpu.leaf[l].tensor)->grad != FSMOE_NONE)
			compare(&t, "gradient of leaf", l,
				opcase_info(&t.gpu, t.gpu.leaf[l].tensor)->grad);
	if (!share.sizes)
		run_again(&t);
	fsmoe_device_memory_destroy(t.memory);
	opcase_graph_teardown(&t.gpu);
	opcase_graph_teardown(&t.f32);
	opcase_graph_teardown(&t.f64);
}

static void on_gpu(void **state)
{
	const struct opcase *c = *state;
	int n = share.sizes && share.sizes < c->nsizes ? share.sizes : c->nsizes, done = 0;

	complaints = 0;
	worst[0] = worst[1] = 0;
	if (share_leaves(&share, c->name))
		n = 0;
	for (int s = 1; s <= n; s++)
	{
		if (!share_takes(&share))
			continue;
		for (int run = 0; run < 2; run++)
			case_at(c, c->sizes[s * c->nsizes / n - 1], run);
		done++;
	}
	share.done += done;
	print_message("%-36s %2d sizes, worst error over tolerance: float %.3f, bf16 %.3f\n",
		      c->name, done, worst[0], worst[1]);
	assert_int_equal(complaints, 0);
}

int opcase_main(const char *name, const struct opcase *cases, int ncases)
{
	struct CMUnitTest *tests = calloc((size_t)ncases + 1, sizeof(*tests));
	struct fsmoe_runtime_opts opts;
	int failed;

	if (!tests)
		return 99;
	fsmoe_log_setup(0, 1, FSMOE_LOG_ERROR); /* it warns of operations without a CUDA kernel */
	TRY(share_read(&share));
	fsmoe_runtime_opts_init(&opts);
	opts.device = "cuda";
	opts.dtype = "bf16";
	TRY(share.sizes ? fsmoe_lanes_make(&lanes, 0) : fsmoe_runtime_start(&starpu, NULL, &opts));
	for (int i = 0; i < ncases; i++)
		tests[i] = (struct CMUnitTest){.name = cases[i].name,
					       .test_func = on_gpu,
					       .initial_state = (void *)&cases[i]};
	failed = _cmocka_run_group_tests(name, tests, (size_t)ncases, NULL, NULL);
	fsmoe_lanes_free(&lanes);
	fsmoe_runtime_stop(starpu);
	starpu = NULL;
	free(tests);
	printf("%s: %d of %d sizes were run%s\n", name, share.done, share.at,
	       share.late ? ", for others there was no time" : "");
	return failed;
}
