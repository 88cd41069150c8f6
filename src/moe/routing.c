/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/filled.h"
#include "codelets/shape.h"
#include "graph/graph.h"
#include "moe/layer.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdio.h>
#include <string.h>

size_t fsmoe_moe_capacity(size_t tokens, size_t experts, size_t topk, double factor)
{
	double each = (double)((tokens + experts - 1) / experts), slots;

	if (factor == 0)
		return tokens;
	slots = (double)topk * (double)(size_t)(factor * each);
	return slots < (double)tokens ? (size_t)slots : tokens;
}

struct fsmoe_cuts fsmoe_moe_cuts(fsmoe_graph_t graph, size_t slots, int degree)
{
	size_t n = degree < 1 ? 1 : (size_t)degree;
	size_t *at;

	n = n > slots ? slots : n;
	at = fsmoe_graph_alloc(graph, (n + 1) * sizeof(*at));
	if (!at)
		return (struct fsmoe_cuts){0, NULL};
	for (size_t i = 0; i <= n; i++)
		at[i] = slots / n * i + slots % n * i / n;
	return (struct fsmoe_cuts){n, at};
}

struct fsmoe_cuts fsmoe_moe_cuts_by_rows(const struct fsmoe_moe_layer *l, int degree)
{
	const size_t even = fsmoe_filled_even(l), rows = l->groups * even;
	const struct fsmoe_cuts cut = fsmoe_moe_cuts(l->graph, rows, degree);
	size_t *at = fsmoe_graph_alloc(l->graph, (cut.n + 1) * sizeof(*at));

	if (!at)
		return (struct fsmoe_cuts){0, NULL};
	for (size_t i = 0; i < cut.n; i++)
		at[i] = cut.at[i] / even * l->capacity + cut.at[i] % even;
	at[cut.n] = l->slots;
	return (struct fsmoe_cuts){cut.n, at};
}

static int check_numbers(const struct fsmoe_moe_spec *s, fsmoe_groups_t groups)
{
	int ep = fsmoe_group_size(groups, FSMOE_GROUP_EP);
	int esp = fsmoe_group_size(groups, FSMOE_GROUP_ESP);

	if (!s->name || !*s->name)
		return fsmoe_fail(EINVAL,
				  "a Mixture-of-Experts layer needs a name for its parameters");
	if (s->experts < 1 || s->top_k < 1 || s->top_k > s->experts)
		return fsmoe_fail(
			EINVAL,
			"'%s': %d experts per token of %d are asked for: choose from 1 to all",
			s->name, s->top_k, s->experts);
	if (s->experts % ep)
		return fsmoe_fail(
			EINVAL,
			"'%s': %d experts do not divide over %d expert-parallel ranks: take a "
			"multiple, or another ep",
			s->name, s->experts, ep);
	if (s->hidden_size < 1 || s->ffn_size < 1 || s->ffn_size % (size_t)esp)
		return fsmoe_fail(EINVAL,
				  "'%s': a hidden size of %zu does not divide over %d shards of an "
				  "expert: take a multiple, or another esp",
				  s->name, s->ffn_size, esp);
	if (!(s->capacity_factor >= 0) || s->capacity_factor > 1e9)
		return fsmoe_fail(
			EINVAL,
			"'%s': a capacity factor of %g: it is positive, or 0 for dropping "
			"nothing",
			s->name, s->capacity_factor);
	if (s->forward_degree < 0 || s->backward_degree < 0)
		return fsmoe_fail(EINVAL,
				  "'%s': degrees of %d and %d: a degree is 1 or more, or 0 for 1",
				  s->name, s->forward_degree, s->backward_degree);
	return 0;
}

static int check_rows(const struct fsmoe_moe_spec *s, const struct fsmoe_shape *x, size_t group)
{
	if (x->ndim != 2 || x->dim[0] < 1 || x->dim[1] != s->hidden_size)
	{
		char text[FSMOE_SHAPE_TEXT];
		return fsmoe_fail(EINVAL, "'%s': the input must be (tokens, %zu) but is %s",
				  s->name, s->hidden_size, fsmoe_shape_text(text, x));
	}
	if (x->dim[0] % group)
		return fsmoe_fail(
			EINVAL,
			"'%s': %zu tokens of a rank do not divide into routing groups of %zu",
			s->name, x->dim[0], group);
	return 0;
}

/* --- names of options --------------------------------------------------------------------- */

static const char *const drops[] = {"position", "probability", "token"};
static const char *const weights[] = {"default", "chosen", "all", "sigmoid"};
#define NAMES(array) array, (int)(sizeof(array) / sizeof((array)[0]))

/* The number of a name, 0 for NULL; -EINVAL with a sentence that has them all. */
static int find_name(const struct fsmoe_moe_spec *s, const char *what, const char *name,
		     const char *const *names, int n)
{
	char all[100] = "";

	for (int i = 0; i < n; i++)
	{
		size_t used = strlen(all);
		if (!name || !strcmp(name, names[i]))
			return i;
		snprintf(all + used, sizeof(all) - used, "%s%s", i ? ", " : "", names[i]);
	}
	return fsmoe_fail(EINVAL, "'%s': %s cannot be '%s'; there is: %s", s->name, what, name,
			  all);
}

static int check_gate_numbers(const struct fsmoe_moe_spec *s)
{
	const struct fsmoe_gate_opts *o = &s->gate_opts;

	if (!(o->init_scale >= 0))
		return fsmoe_fail(EINVAL,
				  "'%s': gate-init-scale is %g: it must be positive, or 0 for 1",
				  s->name, o->init_scale);
	if (o->balance_loss >= 0 && o->importance_loss >= 0 && o->z_loss >= 0)
		return 0;
	return fsmoe_fail(EINVAL, "'%s': weights of losses are %g, %g and %g: 0 or more", s->name,
			  o->balance_loss, o->importance_loss, o->z_loss);
}

/* The gates that read an option, as text. */
static const char *readers(unsigned option, char *text, size_t size)
{
	struct fsmoe_module_info gates[128];
	int n = 128;

	*text = '\0';
	fsmoe_module_list(FSMOE_MODULE_GATE, gates, &n);
	for (int i = 0; i < n && i < 128; i++)
	{
		const size_t used = strlen(text);

		if (fsmoe_gate_find(gates[i].name)->options & option)
			snprintf(text + used, size - used, "%s%s", used ? ", " : "", gates[i].name);
	}
	return text;
}

int fsmoe_gate_check_options(const struct fsmoe_gate *gate, const struct fsmoe_gate_opts *o)
{
	const struct
	{
		unsigned option;
		int asked;
		const char *name;
	} rows[] = {
		{FSMOE_GATE_DROP, o->drop_policy != NULL, "drop-policy"},
		{FSMOE_GATE_WEIGHTS, o->routing_weights != NULL, "routing-weights"},
		{FSMOE_GATE_RANK, o->xmoe_dim != 0, "xmoe-dim"},
		{FSMOE_GATE_NORMALIZE, o->softmoe_normalize != 0, "softmoe-normalize"},
	};
	char text[400];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].asked && !(gate->options & rows[i].option))
			return fsmoe_fail(EINVAL,
					  "gate '%s' does not read the option %s: omit it, or take "
					  "a gate that does: %s",
					  gate->module.name, rows[i].name,
					  readers(rows[i].option, text, sizeof(text)));
	return 0;
}

/* What a gate is told, read from the spec. */
static int read_options(struct fsmoe_moe_layer *l, const struct fsmoe_moe_spec *s,
			fsmoe_groups_t groups)
{
	size_t rank = (size_t)fsmoe_group_rank(groups, FSMOE_GROUP_WORLD);
	size_t ranks = (size_t)fsmoe_group_size(groups, FSMOE_GROUP_WORLD);
	int drop = find_name(s, "drop-policy", s->gate_opts.drop_policy, NAMES(drops));
	int weigh = find_name(s, "routing-weights", s->gate_opts.routing_weights, NAMES(weights));
	const struct fsmoe_gate *gate = fsmoe_gate_find(s->gate);

	/* That there is no such gate is said where all modules are looked for. */
	if (drop < 0 || weigh < 0 || check_gate_numbers(s) ||
	    (gate && fsmoe_gate_check_options(gate, &s->gate_opts)))
		return -EINVAL;
	l->opts = s->gate_opts;
	l->expert_opts = s->expert_opts;
	l->gate_init_scale = s->gate_opts.init_scale > 0 ? s->gate_opts.init_scale : 1;
	l->gate_scale = l->init_scale * l->gate_init_scale;
	l->drop_policy = (enum fsmoe_drop)drop;
	l->routing_weights = (enum fsmoe_weights)weigh;
	l->loss_scale = s->loss_scale > 0 ? s->loss_scale : 1.0 / (double)(l->rows * ranks);
	l->tokens = s->tokens;
	if (l->tokens.span == 0)
		l->tokens = (struct fsmoe_token_map){rank * l->rows, l->rows, l->rows};
	return 0;
}

int fsmoe_moe_layer_init(struct fsmoe_moe_layer *layer, fsmoe_graph_t graph, fsmoe_tensor_t x,
			 const struct fsmoe_moe_spec *s)
{
	fsmoe_groups_t groups = fsmoe_graph_groups(graph);
	struct fsmoe_shape shape = fsmoe_shape_of(graph, x);
	size_t group = s->routing_group ? s->routing_group : shape.dim[0];
	struct fsmoe_moe_layer l;

	if (check_numbers(s, groups) || check_rows(s, &shape, group))
		return -EINVAL;
	l = (struct fsmoe_moe_layer){
		.graph = graph,
		.name = fsmoe_graph_copy(graph, s->name, strlen(s->name) + 1),
		.hidden_size = s->hidden_size,
		.ffn_size = s->ffn_size,
		.rows = shape.dim[0],
		.group = group,
		.groups = shape.dim[0] / group,
		.capacity = fsmoe_moe_capacity(group, (size_t)s->experts, (size_t)s->top_k,
					       s->capacity_factor),
		.experts = (size_t)s->experts,
		.top_k = (size_t)s->top_k,
		.ep = fsmoe_group_size(groups, FSMOE_GROUP_EP),
		.ep_rank = fsmoe_group_rank(groups, FSMOE_GROUP_EP),
		.esp = fsmoe_group_size(groups, FSMOE_GROUP_ESP),
		.esp_rank = fsmoe_group_rank(groups, FSMOE_GROUP_ESP),
		.init_scale = s->init_scale,
		.output_scale = s->output_scale,
	};
	if (!l.name)
		return fsmoe_graph_status(graph);
	if (read_options(&l, s, groups))
		return -EINVAL;
	if (l.capacity == 0)
		return fsmoe_fail(
			EINVAL,
			"'%s': a capacity factor of %g leaves no slot for groups of %zu tokens "
			"and %zu experts: raise it, or take larger groups",
			s->name, s->capacity_factor, group, l.experts);
	l.slots = l.groups * l.capacity;
	l.local_experts = l.experts / (size_t)l.ep;
	l.sources = (size_t)l.ep * (size_t)l.esp;
	*layer = l;
	return 0;
}
