/* SPDX-License-Identifier: Apache-2.0 */
#include <fsmoe/model.h>
#include <fsmoe/ops.h>

#include <math.h>
#include <stdio.h>

/* The standard deviation of GPT-2's weights; what writes to the residual stream gets less, by
 * the number of writers. */
static const double init_scale = 0.02;

/* One transformer being appended: what the parts below share. */
struct model
{
	fsmoe_graph_t graph;
	const struct fsmoe_model_spec *spec;
	const struct fsmoe_batch_spec *batch;
	int mp, mp_rank;
	size_t span; /* tokens of a sequence that this rank holds */
	double output_scale;
};

/* A parameter that every rank holds whole; its gradient comes from each rank's own tokens. */
static fsmoe_tensor_t replicated(const struct model *m, struct fsmoe_shape shape,
				 enum fsmoe_init init, int decay, const char *name, int layer)
{
	char full[96];

	if (layer < 0)
		snprintf(full, sizeof(full), "%s", name);
	else
		snprintf(full, sizeof(full), "h.%d.%s", layer, name);
	return fsmoe_graph_param(m->graph, &(struct fsmoe_param_spec){.name = full,
								      .global = shape,
								      .reduce = FSMOE_GROUP_WORLD,
								      .init = init,
								      .scale = init_scale,
								      .decay = decay});
}

/* A parameter cut over the tensor-parallel ranks along one dimension. */
static fsmoe_tensor_t sharded(const struct model *m, struct fsmoe_shape shape, int dim,
			      enum fsmoe_init init, double scale, int decay, const char *name,
			      int layer)
{
	char full[96];
	struct fsmoe_param_spec spec = {.name = full,
					.global = shape,
					.reduce = FSMOE_GROUP_DP,
					.init = init,
					.scale = scale,
					.decay = decay};

	snprintf(full, sizeof(full), "h.%d.%s", layer, name);
	spec.parts[dim] = m->mp;
	spec.index[dim] = m->mp_rank;
	return fsmoe_graph_param(m->graph, &spec);
}

static fsmoe_tensor_t norm(const struct model *m, fsmoe_tensor_t x, const char *name, int layer)
{
	char weight[64], bias[64];
	size_t dim = (size_t)m->spec->hidden_size;

	snprintf(weight, sizeof(weight), "%s.weight", name);
	snprintf(bias, sizeof(bias), "%s.bias", name);
	return fsmoe_layer_norm(m->graph, x,
				replicated(m, FSMOE_SHAPE1(dim), FSMOE_INIT_ONE, 0, weight, layer),
				replicated(m, FSMOE_SHAPE1(dim), FSMOE_INIT_ZERO, 0, bias, layer));
}

/* Heads are cut over the tensor-parallel ranks, which all see the whole sequence inside: an
 * AllGather before, a ReduceScatter of the partial sums after. */
static fsmoe_tensor_t attention(const struct model *m, fsmoe_tensor_t x, int layer)
{
	fsmoe_graph_t g = m->graph;
	size_t dim = (size_t)m->spec->hidden_size, heads = (size_t)m->spec->heads,
	       head_dim = dim / heads;
	struct fsmoe_attention_args args = {.batch = (size_t)m->batch->sequences,
					    .seq = (size_t)m->batch->seq_length,
					    .heads = heads / (size_t)m->mp,
					    .head_dim = head_dim,
					    .parts = (size_t)m->mp,
					    .bidirectional = m->spec->bidirectional};
	fsmoe_tensor_t h, wqkv, bqkv, wout, bout;

	wqkv = sharded(m, FSMOE_SHAPE4(3, heads, head_dim, dim), 1, FSMOE_INIT_NORMAL, init_scale,
		       1, "attn.qkv.weight", layer);
	bqkv = sharded(m, FSMOE_SHAPE3(3, heads, head_dim), 1, FSMOE_INIT_ZERO, 0, 0,
		       "attn.qkv.bias", layer);
	wout = sharded(m, FSMOE_SHAPE2(dim, dim), 1, FSMOE_INIT_NORMAL, m->output_scale, 1,
		       "attn.out.weight", layer);
	bout = replicated(m, FSMOE_SHAPE1(dim), FSMOE_INIT_ZERO, 0, "attn.out.bias", layer);

	h = norm(m, x, "ln_1", layer);                  /* (B, L / TP, M) */
	h = fsmoe_allgather(g, h, FSMOE_GROUP_TP);      /* (TP, B, L / TP, M) */
	h = fsmoe_linear(g, h, wqkv, bqkv);             /* (TP B L / TP, 3 heads / TP head_dim) */
	h = fsmoe_attention(g, h, &args);               /* (TP B L / TP, M / TP) */
	h = fsmoe_linear(g, h, wout, FSMOE_NONE);       /* (TP, B, L / TP, M), partial sums */
	h = fsmoe_reduce_scatter(g, h, FSMOE_GROUP_TP); /* (B, L / TP, M) */
	return fsmoe_residual(g, x, h, bout);
}

static fsmoe_tensor_t mixture(const struct model *m, fsmoe_tensor_t x, int layer)
{
	const struct fsmoe_model_spec *s = m->spec;
	char name[32];
	struct fsmoe_moe_spec moe = {
		.name = name,
		.experts = s->experts,
		.top_k = s->top_k,
		.hidden_size = (size_t)s->hidden_size,
		.ffn_size = (size_t)s->ffn_size,
		.capacity_factor = s->capacity_factor,
		.routing_group = s->routing_group > 0 ? (size_t)s->routing_group : m->span,
		.forward_degree = s->forward_degree,
		.backward_degree = s->backward_degree,
		.gate = s->gate,
		.order = s->order,
		.dispatch = s->dispatch,
		.expert = s->expert,
		.init_scale = init_scale,
		.output_scale = m->output_scale,
		.gate_opts = s->gate_opts,
		.expert_opts = {.activation = s->expert_activation, .no_bias = !s->expert_bias},
		.loss_scale = m->batch->token_scale > 0 ? m->batch->token_scale : m->batch->scale,
		.tokens = {.first = m->batch->first * (size_t)m->batch->seq_length +
				    (size_t)m->mp_rank * m->span,
			   .span = m->span,
			   .stride = (size_t)m->batch->seq_length},
		.causal = !s->bidirectional,
		.allow_leak = s->allow_leak,
		.hooks = s->hooks,
		.nhooks = s->nhooks,
	};

	snprintf(name, sizeof(name), "h.%d.moe", layer);
	return fsmoe_residual(m->graph, x, fsmoe_moe(m->graph, norm(m, x, "ln_2", layer), &moe),
			      FSMOE_NONE);
}

fsmoe_tensor_t fsmoe_model_logits(fsmoe_graph_t graph, const struct fsmoe_batch_spec *batch,
				  const struct fsmoe_model_spec *s)
{
	fsmoe_groups_t groups = fsmoe_graph_groups(graph);
	struct model m = {.graph = graph,
			  .spec = s,
			  .batch = batch,
			  .mp = fsmoe_group_size(groups, FSMOE_GROUP_TP),
			  .mp_rank = fsmoe_group_rank(groups, FSMOE_GROUP_TP),
			  .output_scale = init_scale / sqrt(2.0 * s->layers)};
	size_t dim = (size_t)s->hidden_size;
	fsmoe_tensor_t table, positions, x;

	m.span = (size_t)(batch->seq_length / m.mp);
	fsmoe_graph_set_layer(graph, -1);
	table = replicated(&m, FSMOE_SHAPE2((size_t)s->vocab_size, dim), FSMOE_INIT_NORMAL, 1,
			   "wte.weight", -1);
	positions = replicated(&m, FSMOE_SHAPE2((size_t)s->seq_length, dim), FSMOE_INIT_NORMAL, 1,
			       "wpe.weight", -1);
	x = fsmoe_embedding(graph, batch->tokens, table, positions, (size_t)m.mp_rank * m.span,
			    m.span);
	for (int layer = 0; layer < s->layers; layer++)
	{
		fsmoe_graph_set_layer(graph, layer);
		if (s->attention)
			x = attention(&m, x, layer);
		if (s->moe)
			x = mixture(&m, x, layer);
	}
	fsmoe_graph_set_layer(graph, -1);
	x = norm(&m, x, "ln_f", -1);
	/* The embedding's table is the output's too. */
	return fsmoe_linear(graph, x, table, FSMOE_NONE);
}

struct fsmoe_forward fsmoe_model_as_forward(const struct fsmoe_model_spec *spec)
{
	return (struct fsmoe_forward){fsmoe_model_forward, (void *)spec};
}

fsmoe_tensor_t fsmoe_model_forward(fsmoe_graph_t graph, const struct fsmoe_batch_spec *batch,
				   void *arg)
{
	return fsmoe_cross_entropy(graph, fsmoe_model_logits(graph, batch, arg), batch->targets,
				   batch->scale);
}
