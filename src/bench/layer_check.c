/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/layer.h"
#include "bench/noise.h"

#include "base/parallel.h"
#include "graph/memory.h"
#include "runtime/introspect.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/op.h>
#include <stdlib.h>
#include <string.h>

static size_t count(const struct fsmoe_bench *b, fsmoe_tensor_t tensor)
{
	int n;

	return fsmoe_shape_count(&fsmoe_graph_tensors(b->layer.graph, &n)[tensor].shape);
}

static float *data(const struct fsmoe_bench *b, fsmoe_tensor_t tensor)
{
	return fsmoe_memory_data(b->layer.memory, tensor);
}

/* --- weights, tokens, gradients ------------------------------------------------------------- */

/* Each matrix of each expert is a stream of its own. */
static uint64_t stream_of(const struct fsmoe_bench *b, const char *name)
{
	const uint64_t first = 1000 + 100000 * b->opts->train.train.seed;

	return first + (strcmp(name, "w2") == 0 ? 1 : strcmp(name, "w3") == 0 ? 2 : 0);
}

struct matrices
{
	const struct fsmoe_param_spec *spec;
	uint64_t stream;
	float scale, *data;
};

static void fill_part(void *arg, size_t lo, size_t hi)
{
	const struct matrices *x = arg;
	const size_t each = x->spec->global.dim[1] * x->spec->global.dim[2];
	const size_t run = fsmoe_param_run(x->spec);

	for (size_t i = lo, end; i < hi; i = end)
	{
		size_t at = fsmoe_param_global_index(x->spec, i);
		uint64_t stream = x->stream + 10 * (at / each);
		end = (i / run + 1) * run < hi ? (i / run + 1) * run : hi;
		for (size_t k = i; k < end; k++)
			x->data[k] = fsmoe_noise(stream, at % each + k - i, x->scale);
	}
}

/* Fills this rank's part of a matrix of all experts, (E, rows, columns). */
static void fill_experts(const struct fsmoe_bench *b, const struct fsmoe_param *p, const char *name)
{
	struct matrices x = {&p->spec, stream_of(b, name),
			     (float)(1 / sqrt((double)p->spec.global.dim[2])), data(b, p->tensor)};

	fsmoe_parallel(count(b, p->tensor), 1 << 16, fill_part, &x);
}

/* Moves the logit of expert e by about off[e]: adds to every token the sum of off[e] w[e] /
 * |w[e]|^2 over the rows of the gate's matrix, which are nearly orthogonal. */
static void unbalance(const struct fsmoe_bench *b, const float *w, float *x)
{
	const size_t E = (size_t)b->spec.experts, M = b->spec.hidden_size;
	double *add = calloc(M, sizeof(*add));

	for (size_t e = 0; add && e < E; e++)
	{
		double off = fsmoe_noise(b->opts->train.train.seed + 77, e, (float)b->opts->skew),
		       square = 0;

		for (size_t m = 0; m < M; m++)
			square += (double)w[e * M + m] * w[e * M + m];
		for (size_t m = 0; m < M; m++)
			add[m] += off / square * w[e * M + m];
	}
	for (size_t i = 0; add && i < b->tokens * M; i++)
		x[i] += (float)add[i % M];
	free(add);
}

void fsmoe_bench_fill(struct fsmoe_bench *b)
{
	const size_t M = b->spec.hidden_size, n = b->tokens * M, E = (size_t)b->spec.experts;
	const uint64_t stream = b->opts->train.train.seed * 7919 + (uint64_t)b->rank;
	float *wg = malloc(E * M * sizeof(*wg));
	int nparams;
	const struct fsmoe_param *p = fsmoe_graph_params(b->layer.graph, &nparams);

	if (wg)
		fsmoe_noise_fill(wg, E * M, b->opts->train.train.seed, 1 / sqrt((double)M));
	for (int i = 0; i < nparams; i++)
	{
		const char *name = strrchr(p[i].spec.name, '.');

		if (!strcmp(p[i].spec.name, "moe.gate.weight") && wg &&
		    count(b, p[i].tensor) == E * M)
			memcpy(data(b, p[i].tensor), wg, E * M * sizeof(*wg));
		else if (strstr(p[i].spec.name, ".experts.") && p[i].spec.global.ndim == 3)
			fill_experts(b, &p[i], name + 1);
		else
			fsmoe_memory_init_param(b->layer.memory, &p[i], b->opts->train.train.seed);
	}
	fsmoe_noise_fill(data(b, b->x), n, stream + 11, 1);
	if (wg && b->opts->skew > 0)
		unbalance(b, wg, data(b, b->x));
	fsmoe_noise_fill(data(b, b->dy), n, stream + 5003, 1);
	free(wg);
}

/* --- results -------------------------------------------------------------------------------- */

/* Finds the integer tensor that a node of the layer writes through this port. */
static fsmoe_tensor_t output(const struct fsmoe_bench *b, const char *port)
{
	int nnodes, ntensors;
	const struct fsmoe_node *node = fsmoe_graph_nodes(b->layer.graph, &nnodes);
	const struct fsmoe_tensor_info *t = fsmoe_graph_tensors(b->layer.graph, &ntensors);

	for (int i = 0; i < nnodes; i++)
		for (int k = 0; k < node[i].naccess; k++)
		{
			const struct fsmoe_access *a = &node[i].access[k];
			if (a->mode == FSMOE_W && a->tensor != FSMOE_NONE &&
			    t[a->tensor].dtype == FSMOE_INT32 &&
			    !strcmp(node[i].op->ports[a->port].name, port))
				return a->tensor;
		}
	return FSMOE_NONE;
}

/* Pulls single tensors: most tensors of a layer are large and not needed here. */
int fsmoe_bench_pull(const struct fsmoe_bench *b)
{
	int nparams, ntensors, n = 0;
	const struct fsmoe_param *p = fsmoe_graph_params(b->layer.graph, &nparams);
	const struct fsmoe_tensor_info *t = fsmoe_graph_tensors(b->layer.graph, &ntensors);
	const fsmoe_tensor_t some[] = {b->y, b->dx, output(b, "expert"), output(b, "slot")};
	fsmoe_tensor_t *all = malloc(((size_t)nparams + 4) * sizeof(*all));
	int err;

	if (!all)
		return fsmoe_fail(ENOMEM, "no memory for a list of tensors");
	for (int i = 0; i < nparams; i++)
		all[n++] = t[p[i].tensor].grad;
	for (int i = 0; i < 4; i++)
		if (some[i] != FSMOE_NONE)
			all[n++] = some[i];
	err = fsmoe_program_pull(b->layer.program, all, n);
	free(all);
	return err;
}

static double sum_of_products(const float *x, const float *y, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)x[i] * y[i];
	return sum;
}

/* Root mean square of the gradients of all parameters with `part` in their names. */
static json_t *gradient_rms(const struct fsmoe_bench *b, const char *part)
{
	int nparams, ntensors;
	const struct fsmoe_param *p = fsmoe_graph_params(b->layer.graph, &nparams);
	const struct fsmoe_tensor_info *t = fsmoe_graph_tensors(b->layer.graph, &ntensors);
	double sum = 0;
	size_t n = 0;

	for (int i = 0; i < nparams; i++)
		if (strstr(p[i].spec.name, part))
		{
			const float *g = data(b, t[p[i].tensor].grad);
			sum += sum_of_products(g, g, count(b, p[i].tensor));
			n += count(b, p[i].tensor);
		}
	return n ? json_real(sqrt(sum / (double)n)) : json_null();
}

json_t *fsmoe_bench_check(const struct fsmoe_bench *b)
{
	const size_t n = b->tokens * b->spec.hidden_size;
	const float *y = data(b, b->y), *dy = data(b, b->dy), *dx = data(b, b->dx);

	return json_pack("{s:f, s:f, s:f, s:o, s:o}", "y_rms",
			 sqrt(sum_of_products(y, y, n) / (double)n), "y_dy",
			 sum_of_products(y, dy, n) / (double)n, "dx_rms",
			 sqrt(sum_of_products(dx, dx, n) / (double)n), "dwg_rms",
			 gradient_rms(b, ".gate."), "dwe_rms", gradient_rms(b, ".experts."));
}

void fsmoe_bench_routing(const struct fsmoe_bench *b, double *dropped, double *max_over_mean)
{
	const fsmoe_tensor_t expert = output(b, "expert"), slot = output(b, "slot");
	const size_t E = (size_t)b->spec.experts;
	size_t n, lost = 0, most = 0, *wanted = calloc(E, sizeof(*wanted));

	*dropped = *max_over_mean = NAN;
	/* If experts choose, an entry without a slot is no choice. */
	if (wanted && expert != FSMOE_NONE && slot != FSMOE_NONE &&
	    count(b, expert) == b->tokens * (size_t)b->spec.top_k)
	{
		const int32_t *e = fsmoe_memory_data(b->layer.memory, expert);
		const int32_t *s = fsmoe_memory_data(b->layer.memory, slot);
		n = count(b, expert);
		for (size_t i = 0; i < n; i++)
		{
			lost += s[i] < 0;
			wanted[e[i]]++;
		}
		for (size_t i = 0; i < E; i++)
			most = wanted[i] > most ? wanted[i] : most;
		*dropped = (double)lost / (double)n;
		*max_over_mean = (double)(most * E) / (double)n;
	}
	free(wanted);
}
