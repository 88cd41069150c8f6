/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "runtime/device.h"
#include "tests/lib/opcase_internal.h"

#include <fsmoe/error.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * Every case of a table on a GPU, in place of the tests of tests/lib/opcase_main.c: outputs and
 * gradients of parameters against the double kernels on the CPU, within the tolerance that the
 * float kernels have there; integers equal to the float kernels' exactly; a second run leaves the
 * same bits; what no kernel wrote is not a number; every row has a CUDA kernel.
 */

static double worst; /* error over tolerance, of the case in hand */

static void run_on_gpu(struct opcase_graph *og, struct fsmoe_device_memory *memory)
{
	if (fsmoe_device_memory_fill(memory, 0xff) ||
	    fsmoe_device_memory_upload(memory, og->memory) ||
	    fsmoe_graph_stream(og->graph, memory, NULL, &opcase_step))
		fail_msg("%s: %s", og->c->name, fsmoe_last_error());
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

struct trio
{
	struct opcase_graph gpu, f32, f64;
	struct fsmoe_device_memory *memory;
};

static void compare(const struct trio *t, const char *what, int which, fsmoe_tensor_t tensor)
{
	const struct fsmoe_tensor_info *info = opcase_info(&t->gpu, tensor);
	size_t n, *size = (size_t *)t->gpu.size;
	double *want =
		opcase_graph_read(info->dtype == FSMOE_INT32 ? &t->f32 : &t->f64, tensor, &n);
	double tolerance = info->dtype == FSMOE_INT32
				   ? 0
				   : opcase_tolerance(FSMOE_F32, opcase_graph_length(&t->f64),
						      magnitude(want, n));
	void *raw = malloc(4 * n + 4);

	assert_non_null(raw);
	read_tensor(t->memory, info, tensor, raw);
	for (size_t i = 0; i < n; i++)
	{
		double got = info->dtype == FSMOE_INT32 ? (double)((int32_t *)raw)[i]
							: (double)((float *)raw)[i];
		double off = fabs(got - want[i]);
		if (tolerance > 0 && off / tolerance > worst)
			worst = off / tolerance;
		if (!(off <= tolerance))
			fail_msg("%s at size %zu %zu %zu %zu %zu %zu: %s %d, element %zu of %zu: "
				 "the GPU has %.9g, the CPU %.9g, tolerance %.3g",
				 t->gpu.c->name, size[0], size[1], size[2], size[3], size[4],
				 size[5], what, which, i, n, got, want[i], tolerance);
	}
	free(raw);
	free(want);
}

/* All tensors of one run, as the device has them. */
static char *snapshot(const struct trio *t, size_t *bytes)
{
	int n;
	const struct fsmoe_tensor_info *info = fsmoe_graph_tensors(t->gpu.graph, &n);
	char *all = malloc(fsmoe_device_memory_bytes(t->memory) + 4), *at = all;

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

static void check_rows(const struct opcase_graph *og)
{
	int n;
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(og->graph, &n);

	for (int i = 0; i < n; i++)
		if (!nodes[i].op->cuda && strncmp(nodes[i].op->name, "opcase.", 7))
			fail_msg("%s: operation '%s' has no CUDA kernel", og->c->name,
				 nodes[i].op->name);
}

static void case_at(const struct opcase *c, const size_t *size)
{
	struct trio t;
	char *first, *second;
	size_t bytes;

	opcase_graph_setup(&t.gpu, c, size, 1, FSMOE_F32);
	opcase_graph_setup(&t.f32, c, size, 1, FSMOE_F32);
	opcase_graph_setup(&t.f64, c, size, 1, FSMOE_F64);
	check_rows(&t.gpu);
	opcase_graph_execute(&t.f32);
	opcase_graph_execute(&t.f64);
	if (fsmoe_device_memory_create(&t.memory, t.gpu.graph, 0))
		fail_msg("%s: %s", c->name, fsmoe_last_error());
	run_on_gpu(&t.gpu, t.memory);
	for (int k = 0; k < t.gpu.nouts; k++)
		compare(&t, "output", k, t.gpu.out[k]);
	for (int l = 0; l < t.gpu.nleaves; l++)
		if (t.gpu.leaf[l].kind == OPCASE_LEAF_PARAM &&
		    opcase_info(&t.gpu, t.gpu.leaf[l].tensor)->grad != FSMOE_NONE)
			compare(&t, "gradient of leaf", l,
				opcase_info(&t.gpu, t.gpu.leaf[l].tensor)->grad);
	first = snapshot(&t, &bytes);
	run_on_gpu(&t.gpu, t.memory);
	second = snapshot(&t, &bytes);
	if (memcmp(first, second, bytes))
		fail_msg("%s at size %zu %zu %zu %zu: a second run left other bits", c->name,
			 size[0], size[1], size[2], size[3]);
	free(first);
	free(second);
	fsmoe_device_memory_destroy(t.memory);
	opcase_graph_teardown(&t.gpu);
	opcase_graph_teardown(&t.f32);
	opcase_graph_teardown(&t.f64);
}

static void on_gpu(void **state)
{
	const struct opcase *c = *state;
	const char *limit = getenv("FSMOE_CHECK_SIZES"); /* for slow tools: so many of the last */
	int n = limit && atoi(limit) < c->nsizes ? atoi(limit) : c->nsizes;

	worst = 0;
	for (int s = c->nsizes - n; s < c->nsizes; s++)
		case_at(c, c->sizes[s]);
	print_message("%-36s %2d sizes, worst error %.3f of the tolerance\n", c->name, n, worst);
}

int opcase_main(const char *name, const struct opcase *cases, int ncases)
{
	struct CMUnitTest *tests = calloc((size_t)ncases + 1, sizeof(*tests));
	int failed;

	if (!tests)
		return 99;
	for (int i = 0; i < ncases; i++)
		tests[i] = (struct CMUnitTest){.name = cases[i].name,
					       .test_func = on_gpu,
					       .initial_state = (void *)&cases[i]};
	failed = _cmocka_run_group_tests(name, tests, (size_t)ncases, NULL, NULL);
	free(tests);
	return failed;
}
