/* SPDX-License-Identifier: Apache-2.0 */
#include "transfers.h"

#include "codelets/collective.h"
#include "comm/comm.h"

#include <fsmoe/error.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct job job;

int job_start(void **state)
{
	const struct fsmoe_layout layout = {.dp = 2, .tp = 2, .ep = 2, .esp = 2};

	(void)state;
	if (fsmoe_topo_create(&job.topo, NULL, 2) ||
	    fsmoe_groups_create(&job.groups, job.topo, &layout) ||
	    fsmoe_comms_create(&job.comms, job.groups))
	{
		print_error("%s\n", fsmoe_last_error());
		return -1;
	}
	return 0;
}

int job_stop(void **state)
{
	(void)state;
	fsmoe_comms_destroy(job.comms);
	fsmoe_groups_destroy(job.groups);
	fsmoe_topo_destroy(job.topo);
	return 0;
}

/* --- what a group's member holds ------------------------------------------------------------ */

struct group group_of(enum fsmoe_group kind)
{
	struct group g = {.kind = kind};
	int n = 4;

	g.size = (size_t)fsmoe_group_size(job.groups, kind);
	g.me = (size_t)fsmoe_group_rank(job.groups, kind);
	assert_int_equal(
		fsmoe_groups_members(job.groups, kind, fsmoe_topo_rank(job.topo), g.rank, &n), 0);
	return g;
}

double held(const struct group *g, size_t member, enum stream stream, size_t i)
{
	return 2 * opcase_noise(3, (uint64_t)(2 * g->rank[member] + (int)stream), i) - 1;
}

/* --- plain loops: element i of y on this rank, from x on all -------------------------------- */

static double alltoall(const struct group *g, enum stream stream, size_t n, size_t i)
{
	size_t block = n / g->size;

	return held(g, i / block, stream, g->me * block + i % block);
}

/* Along the last of two dimensions, (n / P, P). */
static fsmoe_tensor_t append_last(fsmoe_graph_t graph, fsmoe_tensor_t x, enum fsmoe_group kind)
{
	int n;
	const size_t P = (size_t)fsmoe_group_size(job.groups, kind);
	const size_t count = fsmoe_shape_count(&fsmoe_graph_tensors(graph, &n)[x].shape);

	return fsmoe_alltoall_axis(graph, fsmoe_graph_view(graph, x, 0, FSMOE_SHAPE2(count / P, P)),
				   1, kind);
}

static double alltoall_last(const struct group *g, enum stream stream, size_t n, size_t i)
{
	(void)n;
	return held(g, i % g->size, stream, i / g->size * g->size + g->me);
}

static double allgather(const struct group *g, enum stream stream, size_t n, size_t i)
{
	return held(g, i / n, stream, i % n);
}

static double reduce_scatter(const struct group *g, enum stream stream, size_t n, size_t i)
{
	double sum = 0;

	for (size_t member = 0; member < g->size; member++)
		sum += held(g, member, stream, g->me * (n / g->size) + i);
	return sum;
}

static size_t same(const struct group *g, size_t n)
{
	(void)g;
	return n;
}

static size_t more(const struct group *g, size_t n)
{
	return n * g->size;
}

static size_t fewer(const struct group *g, size_t n)
{
	return n / g->size;
}

const struct transfer transfers[NTRANSFERS] = {
	{"alltoall", fsmoe_alltoall, alltoall, alltoall, same},
	{"alltoall last", append_last, alltoall_last, alltoall_last, same},
	{"allgather", fsmoe_allgather, allgather, reduce_scatter, more},
	{"reduce_scatter", fsmoe_reduce_scatter, reduce_scatter, allgather, fewer},
};

const enum fsmoe_group kinds[NKINDS] = {FSMOE_GROUP_WORLD, FSMOE_GROUP_TP, FSMOE_GROUP_EP,
					FSMOE_GROUP_ESP};

/* --- a graph with a transfer and its gradient; dy is an input -------------------------------- */

/* loss = sum over a rank's y * dy, so that dy is what arrives at y. */
static int dot_f64(const struct fsmoe_call *call)
{
	const double *y = call->data[0], *dy = call->data[1];
	double *loss = call->data[2];

	*loss = 0;
	for (size_t i = 0; i < fsmoe_shape_count(&call->tensor[0]->shape); i++)
		*loss += y[i] * dy[i];
	return 0;
}

static int dot_grad(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	fsmoe_backward_give(backward, node->access[0].tensor, node->access[1].tensor);
	return 0;
}

static const struct fsmoe_port dot_ports[] = {
	{"y", FSMOE_R, 0}, {"dy", FSMOE_R, 0}, {"loss", FSMOE_W, 0}};
static const struct fsmoe_op op_dot = {
	.name = "dot",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(dot_ports),
	.grad = dot_grad,
	.cpu = {NULL, dot_f64},
};

void run_fill(struct run *r, const struct group *g)
{
	double *b = fsmoe_memory_data(r->memory, r->param);
	double *dy = fsmoe_memory_data(r->memory, r->dy);

	for (size_t i = 0; i < r->n; i++)
		b[i] = held(g, g->me, X, i);
	for (size_t i = 0; i < r->nout; i++)
		dy[i] = held(g, g->me, DY, i);
}

/* x = param + 0: an activation with a gradient, whose gradient the bias' gradient shows. */
void run_setup(struct run *r, const struct transfer *t, const struct group *g,
	       struct fsmoe_shape shape)
{
	assert_int_equal(fsmoe_graph_create(&r->graph, job.groups), 0);
	r->n = fsmoe_shape_count(&shape);
	r->nout = t->out(g, r->n);
	r->param = fsmoe_graph_param(r->graph,
				     &(struct fsmoe_param_spec){.name = "b",
								.global = FSMOE_SHAPE1(r->n),
								.reduce = FSMOE_GROUP_WORLD});
	fsmoe_tensor_t zero =
		fsmoe_graph_input(r->graph, FSMOE_REAL, FSMOE_SHAPE2(1, r->n), "zero");
	fsmoe_tensor_t x = fsmoe_residual(r->graph, zero, zero, r->param);
	r->x = fsmoe_graph_view(r->graph, x, 0, shape);
	r->y = t->append(r->graph, r->x, g->kind);
	r->dy = fsmoe_graph_input(r->graph, FSMOE_REAL, FSMOE_SHAPE1(r->nout), "dy");
	fsmoe_tensor_t loss = fsmoe_graph_activation(r->graph, FSMOE_REAL, FSMOE_SHAPE1(1), "loss");
	fsmoe_graph_append(r->graph, &op_dot, NULL, 0,
			   (struct fsmoe_access[]){{r->y, 0, 0}, {r->dy, 1, 0}, {loss, 2, 0}}, 3);
	fsmoe_graph_backward(r->graph, loss);
	if (fsmoe_memory_create(&r->memory, r->graph, FSMOE_F64, NULL))
		fail_msg("%s", fsmoe_last_error());
	run_fill(r, g);
}

void run_teardown(struct run *r)
{
	fsmoe_memory_destroy(r->memory);
	fsmoe_graph_destroy(r->graph);
}
