/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"
#include "tests/lib/opcase_internal.h"

#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

/* --- loss = sum of dy * y, whose gradient is dy itself ---------------------------------------- */

static int loss_f32(const struct fsmoe_call *call)
{
	float sum = 0;

	for (size_t i = 0; i < fsmoe_shape_count(&call->tensor[0]->shape); i++)
		sum += ((const float *)call->data[0])[i] * ((const float *)call->data[1])[i];
	*(float *)call->data[2] = sum;
	return 0;
}

static int loss_f64(const struct fsmoe_call *call)
{
	double sum = 0;

	for (size_t i = 0; i < fsmoe_shape_count(&call->tensor[0]->shape); i++)
		sum += ((const double *)call->data[0])[i] * ((const double *)call->data[1])[i];
	*(double *)call->data[2] = sum;
	return 0;
}

static int loss_grad(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	fsmoe_backward_give(backward, node->access[0].tensor, node->access[1].tensor);
	return 0;
}

static const struct fsmoe_port loss_ports[] = {
	{"y", FSMOE_R, 0}, {"dy", FSMOE_R, 0}, {"loss", FSMOE_W, 0}};
static const struct fsmoe_op op_loss = {
	.name = "bench.loss",
	.doc = "sum of dy * y",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(loss_ports),
	.grad = loss_grad,
	.cpu = {loss_f32, loss_f64},
};

/* --- building and filling --------------------------------------------------------------------- */

void bench_build_row(struct bench *b, const struct fsmoe_schedule *row,
		     const struct fsmoe_moe_spec *spec, fsmoe_groups_t groups, size_t rows)
{
	const struct fsmoe_shape shape = FSMOE_SHAPE2(rows, spec->hidden_size);
	fsmoe_tensor_t loss;

	*b = (struct bench){.rows = rows};
	assert_int_equal(fsmoe_graph_create(&b->graph, groups), 0);
	if (row)
		assert_int_equal(fsmoe_graph_set_schedule(b->graph, row), 0);
	b->x = fsmoe_graph_param(b->graph, &(struct fsmoe_param_spec){.name = "x",
								      .global = shape,
								      .reduce = FSMOE_GROUP_WORLD});
	b->dy = fsmoe_graph_input(b->graph, FSMOE_REAL, shape, "dy");
	b->y = fsmoe_moe(b->graph, opcase_copy(b->graph, b->x), spec);
	loss = fsmoe_graph_activation(b->graph, FSMOE_REAL, FSMOE_SHAPE1(1), "loss");
	fsmoe_graph_append(b->graph, &op_loss, NULL, 0,
			   (struct fsmoe_access[]){{b->y, 0, 0}, {b->dy, 1, 0}, {loss, 2, 0}}, 3);
	fsmoe_graph_backward(b->graph, loss);
}

void bench_build(struct bench *b, const struct fsmoe_moe_spec *spec, fsmoe_groups_t groups,
		 size_t rows)
{
	bench_build_row(b, NULL, spec, groups, rows);
}

size_t bench_global_index(const struct fsmoe_param_spec *spec, size_t i)
{
	size_t index = 0, stride = 1;

	for (int d = spec->global.ndim - 1; d >= 0; d--)
	{
		size_t parts = spec->parts[d] > 1 ? (size_t)spec->parts[d] : 1;
		size_t span = spec->global.dim[d] / parts;
		size_t at = i % span + (parts > 1 ? (size_t)spec->index[d] * span : 0);
		index += at * stride;
		stride *= spec->global.dim[d];
		i /= span;
	}
	return index;
}

static uint64_t stream_of(const char *name)
{
	uint64_t hash = 1469598103934665603u;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 1099511628211u;
	return hash;
}

static double noise(const char *name, size_t i)
{
	return 2 * opcase_noise(3, stream_of(name), i) - 1;
}

void bench_setup_row(struct bench *b, const struct fsmoe_schedule *row,
		     const struct fsmoe_moe_spec *spec, enum fsmoe_real real, fsmoe_groups_t groups,
		     size_t first, size_t rows)
{
	int nparams;
	const struct fsmoe_param *param;

	bench_build_row(b, row, spec, groups, rows);
	b->real = real;
	if (fsmoe_graph_status(b->graph) || fsmoe_memory_create(&b->memory, b->graph, real, NULL))
		fail_msg("%s", fsmoe_last_error());
	param = fsmoe_graph_params(b->graph, &nparams);
	for (int p = 0; p < nparams; p++)
		for (size_t i = 0; i < bench_count(b, param[p].tensor); i++)
		{
			const struct fsmoe_param_spec *s = &param[p].spec;
			size_t at = bench_global_index(s, i);
			if (param[p].tensor == b->x)
				at += first * spec->hidden_size;
			bench_set(b, bench_data(b, param[p].tensor), i, noise(s->name, at));
		}
	for (size_t i = 0; i < bench_count(b, b->dy); i++)
		bench_set(b, bench_data(b, b->dy), i, noise("dy", first * spec->hidden_size + i));
}

void bench_setup(struct bench *b, const struct fsmoe_moe_spec *spec, enum fsmoe_real real,
		 fsmoe_groups_t groups, size_t first, size_t rows)
{
	bench_setup_row(b, NULL, spec, real, groups, first, rows);
}

void bench_teardown(struct bench *b)
{
	fsmoe_memory_destroy(b->memory);
	fsmoe_graph_destroy(b->graph);
}

int bench_run(struct bench *b, fsmoe_comms_t comms)
{
	return bench_run_step(b, comms, opcase_step.step);
}

int bench_run_step(struct bench *b, fsmoe_comms_t comms, uint64_t number)
{
	struct fsmoe_step step = opcase_step;
	int nparams;
	const struct fsmoe_param *param = fsmoe_graph_params(b->graph, &nparams);

	for (int p = 0; p < nparams; p++)
		memset(bench_grad(b, param[p].spec.name), 0,
		       bench_count(b, param[p].tensor) *
			       (b->real == FSMOE_F64 ? sizeof(double) : sizeof(float)));
	step.step = number;
	return fsmoe_graph_execute(b->graph, b->memory, comms, &step);
}

/* --- looking ---------------------------------------------------------------------------------- */

const struct fsmoe_param *bench_param(const struct bench *b, const char *name)
{
	int n;
	const struct fsmoe_param *param = fsmoe_graph_params(b->graph, &n);

	for (int p = 0; p < n; p++)
		if (!strcmp(param[p].spec.name, name))
			return &param[p];
	fail_msg("there is no parameter '%s'", name);
	return NULL;
}

void *bench_data(const struct bench *b, fsmoe_tensor_t tensor)
{
	return fsmoe_memory_data(b->memory, tensor);
}

void *bench_grad(const struct bench *b, const char *param)
{
	int n;

	return bench_data(b, fsmoe_graph_tensors(b->graph, &n)[bench_param(b, param)->tensor].grad);
}

size_t bench_count(const struct bench *b, fsmoe_tensor_t tensor)
{
	int n;

	return fsmoe_shape_count(&fsmoe_graph_tensors(b->graph, &n)[tensor].shape);
}

double bench_get(const struct bench *b, const void *data, size_t i)
{
	return b->real == FSMOE_F64 ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

void bench_set(const struct bench *b, void *data, size_t i, double value)
{
	if (b->real == FSMOE_F64)
		((double *)data)[i] = value;
	else
		((float *)data)[i] = (float)value;
}

fsmoe_tensor_t bench_port(const struct bench *b, const char *op, int port)
{
	int n;
	const struct fsmoe_node *node = fsmoe_graph_nodes(b->graph, &n);

	for (int i = 0; i < n; i++)
		for (int k = 0; k < node[i].naccess && !strcmp(node[i].op->name, op); k++)
			if (node[i].access[k].port == port)
				return node[i].access[k].tensor;
	fail_msg("no operation '%s' has a tensor at port %d", op, port);
	return FSMOE_NONE;
}
