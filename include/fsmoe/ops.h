/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_OPS_H
#define FSMOE_OPS_H

#include <fsmoe/graph.h>

/*
 * The built-in operations, one builder each: appends the node(s) and returns the output.
 * Tensors are row-major; T is the number of token rows this rank holds. A builder whose
 * arguments do not fit records the failure in the graph and returns FSMOE_NONE.
 */

#ifdef __cplusplus
extern "C" {
#endif

/* tokens int32 (T), table (V, M), positions (L, M) or FSMOE_NONE -> (T, M):
 * table[token] + positions[first + row % span]. A token outside 0..V-1 fails the step. */
fsmoe_tensor_t fsmoe_embedding(fsmoe_graph_t graph, fsmoe_tensor_t tokens, fsmoe_tensor_t table,
			       fsmoe_tensor_t positions, size_t first, size_t span);

/* x (T, M), gamma (M), beta (M) -> (T, M): (x - mean) / sqrt(var + 1e-5) * gamma + beta. */
fsmoe_tensor_t fsmoe_layer_norm(fsmoe_graph_t graph, fsmoe_tensor_t x, fsmoe_tensor_t gamma,
				fsmoe_tensor_t beta);

/* x (T, I), w (..., I) of O rows, b of O elements or FSMOE_NONE -> (T, O): x w^T + b. */
fsmoe_tensor_t fsmoe_linear(fsmoe_graph_t graph, fsmoe_tensor_t x, fsmoe_tensor_t w,
			    fsmoe_tensor_t b);

/* x -> the same shape: tanh GELU. */
fsmoe_tensor_t fsmoe_gelu(fsmoe_graph_t graph, fsmoe_tensor_t x);

/* Multi-head attention: a token sees itself and those before it, or, bidirectional, the whole
 * sequence. qkv (T, 3 * heads * head_dim), q before k before v, each heads x head_dim, gives
 * (T, heads * head_dim). T = batch * seq; the rows of `parts` ranks lie one after another, each
 * (batch, seq / parts): what an AllGather over a sequence split makes. Scores are scaled by
 * 1 / sqrt(head_dim). */
struct fsmoe_attention_args
{
	size_t batch, seq, heads, head_dim, parts;
	int bidirectional;
};
fsmoe_tensor_t fsmoe_attention(fsmoe_graph_t graph, fsmoe_tensor_t qkv,
			       const struct fsmoe_attention_args *args);

/* x (T, M) + f (T, M) + bias (M) or FSMOE_NONE. */
fsmoe_tensor_t fsmoe_residual(fsmoe_graph_t graph, fsmoe_tensor_t x, fsmoe_tensor_t f,
			      fsmoe_tensor_t bias);

/* logits (T, V), targets int32 (T), negative = not counted -> (1): scale * sum of -log
 * softmax. */
fsmoe_tensor_t fsmoe_cross_entropy(fsmoe_graph_t graph, fsmoe_tensor_t logits,
				   fsmoe_tensor_t targets, double scale);

/* Collectives over a group of this rank, collective over that group. With one member they
 * append nothing and return x. P is the group's size. */
fsmoe_tensor_t fsmoe_alltoall(fsmoe_graph_t graph, fsmoe_tensor_t x,
			      enum fsmoe_group group); /* (P, ...) -> (P, ...) */
fsmoe_tensor_t fsmoe_allgather(fsmoe_graph_t graph, fsmoe_tensor_t x,
			       enum fsmoe_group group); /* (n, ...) -> (P n, ...) */
/* (P n, ...) -> (n, ...): sums in group order. */
fsmoe_tensor_t fsmoe_reduce_scatter(fsmoe_graph_t graph, fsmoe_tensor_t x, enum fsmoe_group group);
/* In place, sums in group order; for gradients and numbers, not differentiated. */
void fsmoe_allreduce(fsmoe_graph_t graph, fsmoe_tensor_t x, enum fsmoe_group group);

/* x = 0. */
void fsmoe_zero(fsmoe_graph_t graph, fsmoe_tensor_t x);

/* out (1) += scale * sum of squares of x. */
void fsmoe_sum_squares(fsmoe_graph_t graph, fsmoe_tensor_t x, fsmoe_tensor_t out, double scale);

/* A run of elements of a bucket with its own weight decay. */
struct fsmoe_segment
{
	size_t offset, count;
	double decay;
};

/* AdamW with decoupled decay: param, m, v updated from grad (all one size). norm2 (1), or
 * FSMOE_NONE: the squared global norm of the gradients; they are scaled by
 * min(1, clip / (sqrt(norm2) + 1e-6)) when clip > 0. The learning rate and the step number
 * are those of struct fsmoe_step. */
struct fsmoe_adamw_args
{
	double beta1, beta2, eps, clip;
	size_t nsegments;
	/* struct fsmoe_segment follow, ascending, without overlap; padding is left out */
};
void fsmoe_adamw(fsmoe_graph_t graph, fsmoe_tensor_t param, fsmoe_tensor_t grad, fsmoe_tensor_t m,
		 fsmoe_tensor_t v, fsmoe_tensor_t norm2, const struct fsmoe_adamw_args *args,
		 const struct fsmoe_segment *segments);
/* Plain SGD; same clip and segments. */
struct fsmoe_sgd_args
{
	double clip;
	size_t nsegments;
};
void fsmoe_sgd(fsmoe_graph_t graph, fsmoe_tensor_t param, fsmoe_tensor_t grad, fsmoe_tensor_t norm2,
	       const struct fsmoe_sgd_args *args, const struct fsmoe_segment *segments);

/* What gates can be told besides the sizes; all zero is a good choice. */
struct fsmoe_gate_opts
{
	/* Who gives way when an expert is full: "position" (NULL: this), "probability",
	 * "token"; see enum fsmoe_drop. */
	const char *drop_policy;
	/* What weights are made of: "chosen", "all", "sigmoid"; NULL: as the gate likes it; see
	 * enum fsmoe_weights. */
	const char *routing_weights;
	double init_scale;     /* how far apart scores start, over the gate's own choice; 0: 1 */
	int xmoe_dim;          /* of xmoe's projection; 0: max(E / 2, 16), M at most */
	int softmoe_normalize; /* softmoe: 1: cosines of tokens and slots, with a learned scale */
	/* Weights of auxiliary losses; 0: none. A loss is the mean over the tokens of the
	 * global batch of what their routing group gives. */
	double balance_loss;    /* E sum_e (mean softmax of e) (share whose first choice is e) */
	double importance_loss; /* half the sum of CV^2 of importance and of load */
	double z_loss;          /* square of the log-sum-exp of the logits */
};

/* What experts can be told besides the sizes; all zero is a good choice. */
struct fsmoe_expert_opts
{
	/* Expert mlp: "gelu" (NULL: this), the tanh approximation; or "relu". */
	const char *activation;
	int no_bias; /* of mlp: 1: matrices alone */
};

/* Which token of the global batch a row of this rank is: row / span * stride + row % span +
 * first. span = 0: the ranks' rows one after another. Noise is keyed by it. */
struct fsmoe_token_map
{
	size_t first, span, stride;
};

/*
 * One sparse Mixture-of-Experts layer: gate, order, dispatch, experts, combine, inverse
 * order, in chunks, with its own backward (fsmoe/module.h tells how the modules are
 * replaced). x (T, M) -> (T, M), without the residual. Auxiliary losses go to
 * fsmoe_graph_add_loss.
 */
struct fsmoe_hook; /* fsmoe/hook.h */
struct fsmoe_moe_spec
{
	const char *name;             /* prefix of its parameters' names, e.g. "h.0.moe" */
	int experts, top_k;           /* in all; per token */
	size_t hidden_size, ffn_size; /* M, H */
	double capacity_factor;       /* f; C = k * int(f * ceil(S / E)) slots per expert of a
				     group of S tokens */
	size_t routing_group; /* tokens of a routing group: divides the rows of x; 0: all rows of x
			       */
	/* Chunks of the slots; 0: 1. What fsmoe_graph_set_degrees says goes before, and a schedule
	 * with the degree "one"; the order of the chunks and their lanes are the graph's, too:
	 * fsmoe_graph_set_schedule. */
	int forward_degree, backward_degree;
	const char *gate, *order, *dispatch,
		*expert;     /* module names; NULL: topk, the first that fits it, flat, mlp */
	double init_scale;   /* standard deviation of the weights */
	double output_scale; /* and of the second matrix of an expert */
	struct fsmoe_gate_opts gate_opts;
	struct fsmoe_expert_opts expert_opts;
	double loss_scale; /* 1 / tokens of the global batch; 0: 1 / rows of x on all ranks */
	struct fsmoe_token_map tokens;
	/* 1: rows of a group are tokens in order and none may know a later one, so a gate that
	 * is not causal is refused, unless allow_leak is 1. */
	int causal, allow_leak;
	const struct fsmoe_hook *hooks; /* nhooks of them, copied */
	int nhooks;
};
fsmoe_tensor_t fsmoe_moe(fsmoe_graph_t graph, fsmoe_tensor_t x, const struct fsmoe_moe_spec *spec);

#ifdef __cplusplus
}
#endif
#endif
