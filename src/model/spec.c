/* SPDX-License-Identifier: Apache-2.0 */
#include <fsmoe/model.h>

#include <errno.h>
#include <fsmoe/error.h>
#include <stdio.h>
#include <string.h>

/* Presets, one row each. */
static const struct preset
{
	const char *name, *doc;
	int vocab_size, seq_length, layers, heads, hidden_size, ffn_size, experts, top_k;
	double capacity_factor;
} presets[] = {
	{"tiny", "for tests: a second a hundred steps", 256, 16, 2, 4, 16, 32, 4, 2, 2.0},
	{"quickstart", "learns English spelling in seven minutes on two cores", 256, 128, 4, 4, 128,
	 256, 8, 2, 1.25},
};
#define NPRESETS (sizeof(presets) / sizeof(presets[0]))

const char *fsmoe_model_preset_name(int i)
{
	return i >= 0 && (size_t)i < NPRESETS ? presets[i].name : NULL;
}

const char *fsmoe_model_preset_doc(int i)
{
	return i >= 0 && (size_t)i < NPRESETS ? presets[i].doc : NULL;
}

int fsmoe_model_spec_init(struct fsmoe_model_spec *spec, const char *name)
{
	const struct preset *p = &presets[0];
	char known[256] = "";

	for (size_t i = 0; name && i < NPRESETS; i++)
	{
		p = &presets[i];
		if (!strcmp(p->name, name))
			break;
		snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s",
			 i ? ", " : "", p->name);
		if (i + 1 == NPRESETS)
			return fsmoe_fail(ENOENT, "no preset '%s': there are %s", name, known);
	}
	*spec = (struct fsmoe_model_spec){
		.size = sizeof(*spec),
		.vocab_size = p->vocab_size,
		.seq_length = p->seq_length,
		.layers = p->layers,
		.heads = p->heads,
		.hidden_size = p->hidden_size,
		.ffn_size = p->ffn_size,
		.experts = p->experts,
		.top_k = p->top_k,
		.capacity_factor = p->capacity_factor,
		.forward_degree = 1,
		.backward_degree = 1,
		.gate = "topk",
		.dispatch = "flat",
		.expert = "mlp",
		.expert_bias = 1,
		.attention = 1,
		.moe = 1,
	};
	return 0;
}

/* What must divide what: data, so that a sentence can be made of any of them. */
int fsmoe_model_spec_check(const struct fsmoe_model_spec *s, fsmoe_groups_t groups)
{
	const int tp = fsmoe_group_size(groups, FSMOE_GROUP_TP),
		  ep = fsmoe_group_size(groups, FSMOE_GROUP_EP),
		  esp = fsmoe_group_size(groups, FSMOE_GROUP_ESP);
	const struct
	{
		const char *what;
		int value;
		const char *divisor;
		int by;
	} rules[] = {
		{"hidden-size", s->hidden_size, "heads", s->heads},
		{"heads", s->heads, "tensor-parallel ranks", tp},
		{"seq-length", s->seq_length, "tensor-parallel ranks", tp},
		{"experts", s->experts, "expert-parallel ranks", ep},
		{"ffn-size", s->ffn_size, "expert-sharding ranks", esp},
		{"seq-length / tensor-parallel ranks", s->seq_length / (tp > 0 ? tp : 1),
		 "routing-group", s->routing_group > 0 ? s->routing_group : 1},
	};
	const struct
	{
		const char *what;
		int value;
	} positive[] = {{"vocab-size", s->vocab_size},   {"seq-length", s->seq_length},
			{"layers", s->layers},           {"heads", s->heads},
			{"hidden-size", s->hidden_size}, {"ffn-size", s->ffn_size},
			{"experts", s->experts},         {"top-k", s->top_k}};

	for (size_t i = 0; i < sizeof(positive) / sizeof(positive[0]); i++)
		if (positive[i].value < 1)
			return fsmoe_fail(EINVAL, "%s is %d: it must be at least 1",
					  positive[i].what, positive[i].value);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rules[i].value % rules[i].by)
			return fsmoe_fail(EINVAL, "%s = %d is not a multiple of %s = %d",
					  rules[i].what, rules[i].value, rules[i].divisor,
					  rules[i].by);
	if (s->top_k > s->experts)
		return fsmoe_fail(EINVAL, "top-k = %d is more than experts = %d", s->top_k,
				  s->experts);
	if (s->capacity_factor < 0)
		return fsmoe_fail(EINVAL, "capacity-factor = %g is negative; 0 is dropless",
				  s->capacity_factor);
	return 0;
}
