/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/expert_ffn.h"
#include "codelets/cuts.h"
#include "codelets/shape.h"
#include "graph/graph.h"

#include <string.h>

static size_t block_rows(size_t rows)
{
	return rows < FSMOE_FFN_BLOCK ? rows : FSMOE_FFN_BLOCK;
}

/* Which of the weights is the first matrix in: of it the hidden size is read. */
static int first_in(const struct fsmoe_ffn *ffn)
{
	int w = 0;

	while (ffn->part[w] != FSMOE_FFN_IN)
		w++;
	return w;
}

/* --- work: two flops for each element of a row and each of a matrix' other side ------------- */

static double flops(const struct fsmoe_ffn *ffn, double elements, size_t z)
{
	return 2.0 * elements * (double)z * fsmoe_ffn_matrices(ffn) / fsmoe_ffn_inputs(ffn);
}

/* Of a chunk, those that hold something when all experts have as many. */
static double elements_of(const void *args, const struct fsmoe_tensor_info *x)
{
	const struct fsmoe_expert_args *net = args;

	return (double)fsmoe_count(x) * fsmoe_filled_share(&net->filled);
}

double fsmoe_ffn_rows(const void *args, const struct fsmoe_tensor_info *x)
{
	return elements_of(args, x) / (double)fsmoe_columns(x);
}

double fsmoe_ffn_work(const void *args, const struct fsmoe_tensor_info *const *t, int n)
{
	const struct fsmoe_ffn *ffn = ((const struct fsmoe_expert_args *)args)->ffn;

	(void)n;
	return flops(ffn, elements_of(args, t[0]), fsmoe_columns(t[2 + ffn->nweights]));
}

double fsmoe_ffn_work_backward_input(const void *args, const struct fsmoe_tensor_info *const *t,
				     int n)
{
	const struct fsmoe_ffn *ffn = ((const struct fsmoe_expert_input_args *)args)->net.ffn;

	(void)n;
	return flops(ffn, elements_of(args, t[0]), fsmoe_columns(t[2 + fsmoe_ffn_matrices(ffn)]));
}

double fsmoe_ffn_work_backward_weight(const void *args, const struct fsmoe_tensor_info *const *t,
				      int n)
{
	const struct fsmoe_expert_weight_args *a = args;
	const struct fsmoe_tensor_info *const *x = t + a->net.ffn->nweights + 1;
	double elements = 0;

	(void)n;
	for (size_t i = 0; i < a->backward; i++)
		elements += elements_of(args, x[2 * a->forward + i]);
	return flops(a->net.ffn, elements, fsmoe_columns(x[a->forward]));
}

/* --- builders ----------------------------------------------------------------------------- */

static size_t hidden_of(fsmoe_graph_t graph, const struct fsmoe_ffn *ffn,
			const fsmoe_tensor_t *weight)
{
	return fsmoe_shape_of(graph, weight[first_in(ffn)]).dim[1];
}

static struct fsmoe_access *put(struct fsmoe_access *at, int port, fsmoe_tensor_t tensor)
{
	*at = (struct fsmoe_access){tensor, (short)port, 0};
	return at + 1;
}

/* Of some chunks of a pass what arrived, or what was saved. */
static struct fsmoe_access *put_chunks(struct fsmoe_access *at, int port,
				       const struct fsmoe_expert_pass *pass, size_t first,
				       size_t last, int saved)
{
	for (size_t i = first; i < last; i++)
		at = put(at, port, saved ? pass->chunk[i].saved[0] : pass->chunk[i].in);
	return at;
}

/* Scratch for the rows of a block, gathered; needed only where there are counts. */
static fsmoe_tensor_t rows_scratch(fsmoe_graph_t graph, fsmoe_tensor_t counts, size_t rows,
				   size_t columns)
{
	return counts == FSMOE_NONE
		       ? FSMOE_NONE
		       : fsmoe_graph_activation(graph, FSMOE_REAL,
						FSMOE_SHAPE2(block_rows(rows), columns),
						"expert.rows");
}

/* Of a chunk's z: by expert, for it stays. */
static struct fsmoe_shape shape_of_z(struct fsmoe_shape x, const struct fsmoe_ffn *ffn, size_t H)
{
	return FSMOE_SHAPE4(x.dim[1], x.dim[0], x.dim[2], H * (size_t)fsmoe_ffn_inputs(ffn));
}

fsmoe_tensor_t fsmoe_ffn_forward(fsmoe_graph_t graph, struct fsmoe_expert_args net,
				 fsmoe_tensor_t counts, const fsmoe_tensor_t *weight,
				 struct fsmoe_expert_chunk *chunk)
{
	const struct fsmoe_ffn *ffn = net.ffn;
	struct fsmoe_shape x = fsmoe_shape_of(graph, chunk->in);
	size_t H = hidden_of(graph, ffn, weight);
	/* With one expert its rows from all sources lie together and are one run; by counts they
	 * are gathered. */
	size_t all = x.dim[0] * x.dim[2];
	size_t run = x.dim[1] == 1 || counts != FSMOE_NONE ? all : x.dim[2];
	struct fsmoe_access access[FSMOE_EXPERT_WEIGHTS + 6], *at = access;
	fsmoe_tensor_t y, saved, h;

	struct fsmoe_shape z = shape_of_z(x, ffn, H);
	y = fsmoe_graph_activation(graph, FSMOE_REAL, x, "expert.y");
	saved = fsmoe_graph_activation(graph, FSMOE_REAL, z, "expert.z");
	h = fsmoe_graph_activation(graph, FSMOE_REAL, FSMOE_SHAPE2(block_rows(run), H),
				   "expert.act");
	at = put(at, 0, chunk->in);
	for (int w = 0; w < ffn->nweights; w++)
		at = put(at, 1 + w, weight[w]);
	at = put(at, 1 + ffn->nweights, y);
	at = put(at, 2 + ffn->nweights, saved);
	at = put(at, 3 + ffn->nweights, h);
	at = put(at, 4 + ffn->nweights, rows_scratch(graph, counts, all, 2 * x.dim[3] + z.dim[3]));
	at = put(at, 5 + ffn->nweights, counts);
	if (fsmoe_graph_append(graph, ffn->forward, &net, sizeof(net), access, (int)(at - access)) <
	    0)
		return FSMOE_NONE;
	chunk->saved[0] = saved;
	return y;
}

/* The pieces of `cuts` that overlap [lo, hi). */
static void cover(struct fsmoe_cuts cuts, size_t lo, size_t hi, size_t *first, size_t *last)
{
	*first = fsmoe_cuts_find(cuts.at, cuts.n, lo);
	*last = fsmoe_cuts_find(cuts.at, cuts.n, hi - 1) + 1;
}

fsmoe_tensor_t fsmoe_ffn_backward_input(fsmoe_graph_t graph, struct fsmoe_expert_args net,
					fsmoe_tensor_t counts, const fsmoe_tensor_t *weight,
					const struct fsmoe_expert_pass *forward,
					struct fsmoe_expert_pass *backward, size_t i)
{
	const struct fsmoe_ffn *ffn = net.ffn;
	struct fsmoe_expert_chunk *chunk = &backward->chunk[i];
	struct fsmoe_shape shape = fsmoe_shape_of(graph, chunk->in);
	struct fsmoe_shape shape_z = shape_of_z(shape, ffn, hidden_of(graph, ffn, weight));
	size_t lo = backward->cuts.at[i], hi = backward->cuts.at[i + 1], first, last, size;
	const int DX = 1 + fsmoe_ffn_matrices(ffn), Z = DX + 2;
	struct fsmoe_expert_input_args *args;
	struct fsmoe_access *access, *at;
	fsmoe_tensor_t dx, dz;
	int port = 1;

	cover(forward->cuts, lo, hi, &first, &last);
	size = FSMOE_CUTS_SIZE(struct fsmoe_expert_input_args, last - first);
	args = fsmoe_graph_alloc(graph, size);
	at = access = fsmoe_graph_alloc(graph, ((size_t)Z + 2 + last - first) * sizeof(*access));
	if (!args || !access)
		return FSMOE_NONE;
	*args = (struct fsmoe_expert_input_args){net, lo, hi, last - first};
	memcpy(args->at, forward->cuts.at + first, (last - first + 1) * sizeof(*args->at));

	dx = fsmoe_graph_activation(graph, FSMOE_REAL, shape, "expert.dx");
	dz = fsmoe_graph_activation(graph, FSMOE_REAL, shape_z, "expert.dz");
	at = put(at, 0, chunk->in);
	for (int w = 0; w < ffn->nweights; w++)
		if (fsmoe_ffn_is_matrix(ffn->part[w]))
			at = put(at, port++, weight[w]);
	at = put(at, DX, dx);
	at = put(at, DX + 1, dz);
	at = put_chunks(at, Z, forward, first, last, 1);
	at = put(at, Z + 1,
		 rows_scratch(graph, counts, shape.dim[0] * shape.dim[2],
			      2 * shape.dim[3] + shape_z.dim[3]));
	at = put(at, Z + 2, counts);
	if (fsmoe_graph_append(graph, ffn->backward_input, args, size, access, (int)(at - access)) <
	    0)
		return FSMOE_NONE;
	chunk->saved[0] = dz;
	return dx;
}

void fsmoe_ffn_backward_weight(fsmoe_graph_t graph, struct fsmoe_expert_args net,
			       fsmoe_tensor_t counts, const fsmoe_tensor_t *gradient,
			       const struct fsmoe_expert_pass *forward,
			       const struct fsmoe_expert_pass *backward, size_t first, size_t last)
{
	const struct fsmoe_ffn *ffn = net.ffn;
	const size_t *cut = backward->cuts.at;
	const int ROWS = ffn->nweights, X = ROWS + 1;
	size_t first_forward, last_forward, nf, nb = last - first, size;
	struct fsmoe_expert_weight_args *args;
	struct fsmoe_access *access, *at;

	cover(forward->cuts, cut[first], cut[last], &first_forward, &last_forward);
	nf = last_forward - first_forward;
	size = FSMOE_CUTS_SIZE(struct fsmoe_expert_weight_args, nf + nb + 1);
	args = fsmoe_graph_alloc(graph, size);
	at = access = fsmoe_graph_alloc(graph, ((size_t)X + 2 * nf + 2 * nb + 1) * sizeof(*access));
	if (!args || !access)
		return;
	net.filled.lo = cut[first];
	net.filled.hi = cut[last];
	*args = (struct fsmoe_expert_weight_args){net, nf, nb};
	memcpy(args->at, forward->cuts.at + first_forward, (nf + 1) * sizeof(*cut));
	memcpy(args->at + nf + 1, cut + first, (nb + 1) * sizeof(*cut));

	struct fsmoe_shape x = fsmoe_shape_of(graph, forward->chunk[first_forward].in);
	struct fsmoe_shape z = fsmoe_shape_of(graph, forward->chunk[first_forward].saved[0]);
	size_t rows = block_rows(x.dim[0] * (cut[last] - cut[first]));
	fsmoe_tensor_t scratch = fsmoe_graph_activation(
		graph, FSMOE_REAL, FSMOE_SHAPE2(rows, 2 * (x.dim[3] + z.dim[3])), "expert.rows");
	for (int w = 0; w < ffn->nweights; w++)
		at = put(at, w, gradient[w]);
	at = put(at, ROWS, scratch);
	at = put_chunks(at, X, forward, first_forward, last_forward, 0);
	at = put_chunks(at, X + 1, forward, first_forward, last_forward, 1);
	at = put_chunks(at, X + 2, backward, first, last, 0);
	at = put_chunks(at, X + 3, backward, first, last, 1);
	at = put(at, X + 4, counts);
	fsmoe_graph_append(graph, ffn->backward_weight, args, size, access, (int)(at - access));
}

int fsmoe_ffn_grad(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	const struct fsmoe_access *a = node->access;
	const struct fsmoe_expert_args net = *(const struct fsmoe_expert_args *)node->args;
	const struct fsmoe_ffn *ffn = net.ffn;
	fsmoe_graph_t graph = fsmoe_backward_graph(backward);
	const size_t at[2] = {0, fsmoe_shape_of(graph, a[0].tensor).dim[2]};
	struct fsmoe_expert_chunk x = {a[0].tensor, {a[2 + ffn->nweights].tensor}};
	struct fsmoe_expert_chunk dy = {fsmoe_backward_out(backward, a[1 + ffn->nweights].tensor),
					{FSMOE_NONE}};
	const struct fsmoe_expert_pass forward = {{1, at}, &x};
	struct fsmoe_expert_pass back = {{1, at}, &dy};
	fsmoe_tensor_t weight[FSMOE_EXPERT_WEIGHTS], gradient[FSMOE_EXPERT_WEIGHTS], dx;
	const fsmoe_tensor_t counts = a[5 + ffn->nweights].tensor;

	if (dy.in == FSMOE_NONE)
		return 0;
	for (int w = 0; w < ffn->nweights; w++)
	{
		weight[w] = a[1 + w].tensor;
		gradient[w] = fsmoe_backward_param(backward, weight[w]);
	}
	dx = fsmoe_ffn_backward_input(graph, net, counts, weight, &forward, &back, 0);
	if (fsmoe_backward_wants(backward, x.in))
		fsmoe_backward_give(backward, x.in, dx);
	fsmoe_ffn_backward_weight(graph, net, counts, gradient, &forward, &back, 0, 1);
	return fsmoe_graph_status(graph);
}
