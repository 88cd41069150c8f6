/* SPDX-License-Identifier: Apache-2.0 */
#include "base/suggest.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/plan.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

/* Models by their public dimensions; load is k * f with k = 2 and f = 1.2, as the paper measures
 * them. */
static const struct preset
{
	const char *name;
	int layers;
	struct fsmoe_layer_sizes sizes;
} presets[] = {
	{"gpt2-xl",
	 48,
	 {.hidden_size = 1600, .ffn_size = 6400, .heads = 25, .gemms = 2, .biases = 1}},
	{"mixtral-8x7b",
	 32,
	 {.hidden_size = 4096, .ffn_size = 14336, .heads = 32, .kv_heads = 8, .gemms = 3}},
	{"mixtral-8x22b",
	 56,
	 {.hidden_size = 6144, .ffn_size = 16384, .heads = 48, .kv_heads = 8, .gemms = 3}},
};
enum
{
	NPRESETS = sizeof(presets) / sizeof(presets[0])
};

const char *fsmoe_layer_sizes_name(int i)
{
	return i >= 0 && i < NPRESETS ? presets[i].name : NULL;
}

/* Both lists, one after the other. */
static const char *name_at(const void *unused, int i)
{
	(void)unused;
	return i < NPRESETS ? presets[i].name : fsmoe_model_preset_name(i - NPRESETS);
}

int fsmoe_layer_sizes_init(struct fsmoe_layer_sizes *sizes, int *layers, const char *name)
{
	char valid[256];
	const char *near;

	for (int i = 0; i < NPRESETS; i++)
		if (!strcmp(presets[i].name, name))
		{
			*sizes = presets[i].sizes;
			sizes->batch = sizes->tp = sizes->ep = 1;
			sizes->seq_length = 1024;
			sizes->experts = 8;
			sizes->load = 2 * 1.2;
			*layers = presets[i].layers;
			return 0;
		}
	near = fsmoe_suggest(name, name_at, NULL);
	fsmoe_name_list(name_at, NULL, valid, sizeof(valid));
	return fsmoe_fail(ENOENT, "there is no preset '%s': there are %s%s%s%s", name, valid,
			  near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static int check(const struct fsmoe_layer_sizes *s)
{
	const struct
	{
		const char *name;
		double value;
	} sizes[] = {{"batch", s->batch},
		     {"seq-length", s->seq_length},
		     {"hidden-size", s->hidden_size},
		     {"ffn-size", s->ffn_size},
		     {"heads", s->heads},
		     {"experts", s->experts},
		     {"load (top-k * capacity-factor)", s->load},
		     {"gemms", s->gemms},
		     {"tp", s->tp},
		     {"ep", s->ep}};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		if (!(sizes[i].value > 0 && isfinite(sizes[i].value)))
			return fsmoe_fail(EINVAL, "%s is %g: it must be a positive number",
					  sizes[i].name, sizes[i].value);
	return 0;
}

/* A stage of one collective; of one rank alone there is none. */
static int communication(fsmoe_profile_t profile, enum fsmoe_kind kind, enum fsmoe_lane lane,
			 int ranks, double bytes, struct fsmoe_stage *stage)
{
	struct fsmoe_fit fit;
	int err = ranks > 1 ? fsmoe_profile_get(profile, kind, lane, &fit) : 0;

	if (!err)
		*stage = ranks > 1 ? (struct fsmoe_stage){fit.alpha, fit.beta, bytes}
				   : (struct fsmoe_stage){0, 0, 0};
	return err;
}

static double stage_seconds(const struct fsmoe_stage *stage)
{
	return stage->work > 0 ? fsmoe_line_seconds(stage->alpha, stage->beta, stage->work) : 0;
}

/* Sizes of section 4.2. */
static int communications(struct fsmoe_layer_cost *cost, fsmoe_profile_t profile,
			  const struct fsmoe_layer_sizes *s)
{
	const double dense = 4 * s->batch * s->seq_length * s->hidden_size, slots = s->load * dense;
	struct fsmoe_stage gather, scatter;
	int err;

	if ((err = communication(profile, FSMOE_KIND_ALLTOALL, FSMOE_INTER, s->ep, slots / s->tp,
				 &cost->alltoall)) ||
	    (err = communication(profile, FSMOE_KIND_ALLGATHER, FSMOE_INTRA, s->tp, slots,
				 &cost->allgather)) ||
	    (err = communication(profile, FSMOE_KIND_REDUCE_SCATTER, FSMOE_INTRA, s->tp, slots,
				 &cost->reduce_scatter)) ||
	    (err = communication(profile, FSMOE_KIND_ALLGATHER, FSMOE_INTRA, s->tp, dense,
				 &gather)) ||
	    (err = communication(profile, FSMOE_KIND_REDUCE_SCATTER, FSMOE_INTRA, s->tp, dense,
				 &scatter)))
		return err;
	cost->dense_gather = stage_seconds(&gather);
	cost->dense_scatter = stage_seconds(&scatter);
	return 0;
}

/* A line of the experts as they are, or else that of one product times their number. Backward is
 * twice forward (section 4.1): as much for the inputs as for the weights. */
static int experts(struct fsmoe_layer_cost *cost, fsmoe_profile_t profile,
		   const struct fsmoe_layer_sizes *s)
{
	const double flops = s->gemms * 2 * s->load * s->batch * s->seq_length * s->hidden_size *
			     s->ffn_size / s->tp;
	struct fsmoe_fit fit;
	int times = 1, err = fsmoe_profile_get(profile, FSMOE_KIND_EXPERT, FSMOE_COMPUTE, &fit);

	if (err)
	{
		err = fsmoe_profile_get(profile, FSMOE_KIND_GEMM, FSMOE_COMPUTE, &fit);
		times = s->gemms;
	}
	if (err)
		return err;
	cost->expert = (struct fsmoe_stage){times * fit.alpha, fit.beta, flops};
	cost->expert_input = cost->expert_weights = cost->expert;
	return 0;
}

/* Four products and two of attention, (4 B L M^2 + 2 B L^2 M) / N multiply-accumulates, at the cost
 * of a product with four starts; fewer heads for keys and values make two of them smaller. */
static int dense(struct fsmoe_layer_cost *cost, fsmoe_profile_t profile,
		 const struct fsmoe_layer_sizes *s)
{
	const double kv = s->kv_heads ? (double)s->kv_heads / s->heads : 1,
		     macs = s->batch * s->seq_length * s->hidden_size *
			    ((2 + 2 * kv) * s->hidden_size + 2 * s->seq_length) / s->tp;
	struct fsmoe_fit fit;
	int err = 0;

	cost->dense_forward = s->dense_forward;
	cost->dense_backward = s->dense_backward > 0 ? s->dense_backward : 2 * s->dense_forward;
	if (s->dense_forward > 0)
		return 0;
	err = fsmoe_profile_get(profile, FSMOE_KIND_GEMM, FSMOE_COMPUTE, &fit);
	if (err)
		return err;
	cost->dense_forward = fsmoe_line_seconds(4 * fit.alpha, fit.beta, 2 * macs);
	if (s->dense_backward <= 0)
		cost->dense_backward = 2 * cost->dense_forward;
	return 0;
}

/* Section 3: attention's shard, and what every rank has whole: norms, the bias that comes after a
 * sum, the gate. */
static double gradient_floats(const struct fsmoe_layer_sizes *s)
{
	const double m = s->hidden_size, kv = s->kv_heads ? (double)s->kv_heads / s->heads : 1;
	double floats = (2 + 2 * kv) * m * m / s->tp + s->experts * m;

	floats += s->biases ? (1 + 2 * kv) * m / s->tp + m + 4 * m : 2 * m;
	return floats;
}

int fsmoe_layer_cost_init(struct fsmoe_layer_cost *cost, fsmoe_profile_t profile,
			  const struct fsmoe_layer_sizes *sizes)
{
	struct fsmoe_layer_cost fresh = {0};
	double slots;
	int err = check(sizes);

	if (err || (err = communications(&fresh, profile, sizes)) ||
	    (err = experts(&fresh, profile, sizes)) || (err = dense(&fresh, profile, sizes)))
		return err;
	fresh.gradient_bytes = sizes->tp * sizes->ep > 1 ? 4 * gradient_floats(sizes) : 0;
	/* Slots an expert has for one rank's tokens. */
	slots = ceil(sizes->load * sizes->batch * sizes->seq_length / sizes->tp / sizes->experts);
	fresh.slots = slots < 1e6 ? (int)slots : 1000000;
	*cost = fresh;
	return 0;
}
