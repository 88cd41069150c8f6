/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_MODEL_H
#define FSMOE_MODEL_H

#include <fsmoe/graph.h>
#include <fsmoe/ops.h>

/*
 * A GPT-style transformer whose feed-forward layers are Mixtures of Experts, laid out over DP x
 * TP x EP x ESP (TP is MP in the paper): heads cut over TP, the sequence split around the
 * attention, experts over EP, each expert's FFN size over ESP.
 */

#ifdef __cplusplus
extern "C" {
#endif

struct fsmoe_model_spec
{
	size_t size;    /* set by fsmoe_model_spec_init */
	int vocab_size; /* V */
	int seq_length; /* L: tokens of a sequence; TP divides it */
	int layers;
	int heads;              /* TP divides them; they divide hidden_size */
	int hidden_size;        /* M */
	int ffn_size;           /* H of an expert; ESP divides it */
	int experts;            /* E in all; EP divides them */
	int top_k;              /* k */
	double capacity_factor; /* f; see struct fsmoe_moe_spec; 0: nothing is dropped */
	int routing_group;      /* tokens of a routing group; 0: a rank's tokens of one sequence */
	int forward_degree, backward_degree;          /* chunks of every MoE layer */
	const char *gate, *order, *dispatch, *expert; /* module names; order NULL: fits the gate */
	/* 0: the blocks are without it, to see what it is good for. */
	int attention, moe;
	/* 1: attention sees whole sequences, and any gate will do: such a model fills in what is
	 * masked, but cannot go on with a text. */
	int bidirectional;
	struct fsmoe_gate_opts gate_opts; /* fsmoe/ops.h */
	/* Expert mlp: its activation, "gelu" (NULL: this) or "relu"; 1: it has biases. */
	const char *expert_activation;
	int expert_bias;
	const struct fsmoe_hook *hooks; /* of every MoE layer, nhooks of them: fsmoe/hook.h */
	int nhooks;
	int allow_leak; /* 1: also a gate that looks at later tokens, which no generation can */
};

/* Neutral defaults, or a preset ("tiny", "quickstart"). -ENOENT lists the presets. Strings
 * are static; allocates nothing. */
int fsmoe_model_spec_init(struct fsmoe_model_spec *spec, const char *preset);
/* The presets' names, i = 0, 1, ... until NULL, and a line about each. */
const char *fsmoe_model_preset_name(int i);
const char *fsmoe_model_preset_doc(int i);

/* 0, or -EINVAL with a sentence that names the sizes that do not fit each other or the
 * layout. */
int fsmoe_model_spec_check(const struct fsmoe_model_spec *spec, fsmoe_groups_t groups);

/* Parameters in all, and those touched per token; local. The groups (NULL: one rank) matter where a
 * gate has parameters per slot, which are counted per rank's tokens. Fails as building does. */
int fsmoe_model_count(const struct fsmoe_model_spec *spec, fsmoe_groups_t groups, size_t *total,
		      size_t *active);

/* What one micro-batch is: this rank's share of it. The rows of a rank are (sequences,
 * seq_length / TP): of every sequence the tokens from tp_rank * seq_length / TP on. */
struct fsmoe_batch_spec
{
	int sequences;                  /* of this data-parallel rank in one micro-batch */
	int seq_length;                 /* tokens of a sequence, before the split */
	fsmoe_tensor_t tokens, targets; /* int32 inputs of sequences * seq_length / TP rows */
	double scale;                   /* of the loss: 1 / targets of the global batch */
	double token_scale; /* of auxiliary losses: 1 / tokens of the global batch; 0: scale */
	size_t first;       /* number of the first sequence in the global batch */
};

/* Appends the forward of one micro-batch and returns its loss (one element, this rank's share of
 * the global mean). Called once per micro-batch while the graph is built. */
typedef fsmoe_tensor_t (*fsmoe_forward_fn)(fsmoe_graph_t graph,
					   const struct fsmoe_batch_spec *batch, void *arg);

/* A forward function with its argument. */
struct fsmoe_forward
{
	fsmoe_forward_fn fn;
	void *arg;
};

/* The forward of a model; the spec must outlive its use. */
struct fsmoe_forward fsmoe_model_as_forward(const struct fsmoe_model_spec *spec);
/* The function of that forward; arg is a const struct fsmoe_model_spec *. */
fsmoe_tensor_t fsmoe_model_forward(fsmoe_graph_t graph, const struct fsmoe_batch_spec *batch,
				   void *arg);
/* The same without the loss: the logits (rows, V) of this rank's rows. */
fsmoe_tensor_t fsmoe_model_logits(fsmoe_graph_t graph, const struct fsmoe_batch_spec *batch,
				  const struct fsmoe_model_spec *spec);

#ifdef __cplusplus
}
#endif
#endif
