/* SPDX-License-Identifier: Apache-2.0 */
#include "train/config.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/module.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>

/* clang-format off */
#define AT(field) offsetof(struct fsmoe_train_config, field)
#define HEADING(title) {.type = FSMOE_OPTION_HEADING, .help = (title)}
#define INT(name_, field, lo, hi, doc) \
	{.type = FSMOE_OPTION_INT, .name = (name_), .offset = AT(field), .metavar = "N", \
	 .help = (doc), .min = (lo), .max = (hi)}
#define REAL(name_, field, lo, hi, doc) \
	{.type = FSMOE_OPTION_REAL, .name = (name_), .offset = AT(field), .metavar = "X", \
	 .help = (doc), .min = (lo), .max = (hi)}
#define TEXT(name_, field, what, doc) \
	{.type = FSMOE_OPTION_STRING, .name = (name_), .offset = AT(field), .metavar = (what), \
	 .help = (doc)}
#define FLAG(name_, field, doc) \
	{.type = FSMOE_OPTION_FLAG, .name = (name_), .offset = AT(field), .help = (doc)}

static const char *const optimizers[] = {"adamw", "sgd", NULL};

const struct fsmoe_option fsmoe_train_options[] = {
	HEADING("Run"),
	{.type = FSMOE_OPTION_STRING, .name = "config", .offset = AT(config), .metavar = "FILE",
	 .help = "Read a JSON object; its keys are these options, with _ for -",
	 .flags = FSMOE_OPTION_NOT_JSON},
	TEXT("preset", preset, "NAME", "Start from a model with a name"),
	TEXT("data", data, "PATH", "Text to train on, as bytes: a file, a directory, or a pattern "
				   "such as 'texts/*.txt'"),
	INT("steps", steps, 1, INT_MAX, "Steps to train"),
	TEXT("run", run, "DIR", "Leave metrics.jsonl and log in this directory"),
	TEXT("metrics", metrics, "FILE", "Write a JSON object a step to this file"),
	FLAG("quiet", quiet, "Print nothing but failures"),

	HEADING("Model"),
	INT("layers", model.layers, 1, 10000, "Transformer blocks"),
	INT("heads", model.heads, 1, 65536, "Attention heads; they divide model-dim"),
	INT("model-dim", model.model_dim, 1, 1 << 24, "Width of a token"),
	INT("hidden", model.hidden, 1, 1 << 24, "Width of an expert's hidden layer"),
	INT("experts", model.experts, 1, 1 << 20, "Experts of a layer, over all ranks"),
	INT("topk", model.topk, 1, 1 << 20, "Experts that each token goes to"),
	REAL("capacity-factor", model.capacity_factor, 0, 1e6,
	     "Slots of an expert over its even share of tokens; 0: nothing is dropped"),
	INT("group", model.group, 0, INT_MAX,
	    "Tokens of a routing group, in which capacity is counted; 0: a rank's tokens of one "
	    "sequence"),
	INT("vocab", model.vocab, 1, 1 << 24, "Vocabulary; bytes need 256"),
	TEXT("gate", model.gate, "NAME", "Which experts a token goes to"),
	TEXT("order", model.order, "NAME", "How tokens are laid out by expert"),
	TEXT("dispatch", model.dispatch, "NAME", "How tokens travel between ranks"),
	TEXT("expert", model.expert, "NAME", "What an expert computes"),

	HEADING("Training"),
	INT("batch", train.batch, 1, 1 << 24, "Sequences of a step, over all ranks"),
	INT("microbatches", train.microbatches, 1, 1 << 20, "Parts that a step's batch is cut in"),
	INT("seq", model.seq, 1, 1 << 24, "Tokens of a sequence"),
	{.type = FSMOE_OPTION_STRING, .name = "optimizer", .offset = AT(train.optimizer),
	 .metavar = "NAME", .help = "adamw or sgd", .choices = optimizers},
	REAL("lr", lr, 0, 1e6, "Learning rate"),
	INT("warmup", warmup, 0, INT_MAX, "Steps in which the learning rate grows to its value"),
	REAL("beta1", train.beta1, 0, 0.999999999, "Decay of AdamW's mean"),
	REAL("beta2", train.beta2, 0, 0.999999999, "Decay of AdamW's mean square"),
	REAL("eps", train.eps, 0, 1, "AdamW's guard against division by zero"),
	REAL("weight-decay", train.weight_decay, 0, 1e3, "Decoupled weight decay of matrices"),
	REAL("clip", train.clip, 0, 1e9, "Largest norm of the gradient; 0: any"),
	{.type = FSMOE_OPTION_U64, .name = "seed", .offset = AT(train.seed), .metavar = "N",
	 .help = "Weights, noise and the order of data follow from it"},

	HEADING("Layout"),
	INT("nodes", nodes, 0, INT_MAX, "Treat the ranks as this many equal nodes; 0: as they are"),
	INT("mp", layout.mp, 0, INT_MAX, "Ranks that share a sequence's heads; 0: a node's"),
	INT("ep", layout.ep, 0, INT_MAX, "Ranks that the experts are spread over; 0: one of a node"),
	INT("esp", layout.esp, 0, INT_MAX, "Ranks that share each expert; 0: a node's"),
	INT("dp", layout.dp, 0, INT_MAX, "Ranks with data of their own; 0: what is left"),
	INT("forward-degree", model.forward_degree, 1, 1 << 20,
	    "Chunks of an MoE layer in the forward pass"),
	INT("backward-degree", model.backward_degree, 1, 1 << 20,
	    "Chunks of an MoE layer in the backward pass"),

	HEADING("Machine"),
	INT("blas-threads", runtime.blas_threads, 0, 4096,
	    "Threads of a rank's matrix products; 0: as many as it has cores"),
	FLAG("bind", runtime.bind, "Give every rank cores of its own where there are enough"),
	REAL("timeout", runtime.timeout, 0, 1e9,
	     "Seconds without progress after which the job is ended; 0: never"),
	TEXT("scheduler", runtime.scheduler, "NAME", "A StarPU scheduling policy; fsmoe's own else"),
	{.type = FSMOE_OPTION_END},
};
/* clang-format on */

int fsmoe_train_config_init(struct fsmoe_train_config *config, const char *preset)
{
	struct fsmoe_train_config fresh = {.steps = 100, .lr = 1e-3, .preset = preset};
	const int err = fsmoe_model_spec_init(&fresh.model, preset);

	if (err)
		return err;
	fsmoe_train_opts_init(&fresh.train);
	fsmoe_runtime_opts_init(&fresh.runtime);
	*config = fresh;
	return 0;
}

/* The preset comes first but is named by what comes later: look for it there. */
static const char *find_preset(const struct fsmoe_train_config *flags,
			       const struct fsmoe_json *json)
{
	if (flags->preset)
		return flags->preset;
	return json_string_value(json_object_get(json->root, "preset"));
}

static int load(struct fsmoe_train_config *config, struct fsmoe_json *json, int argc, char **argv)
{
	int err = fsmoe_train_config_init(config, NULL);

	if (!err)
		err = fsmoe_options_parse(fsmoe_train_options, argc, argv, config);
	if (!err && config->config)
		err = fsmoe_json_load(json, config->config);
	if (!err)
		err = fsmoe_train_config_init(config, find_preset(config, json));
	if (!err && json->root)
		err = fsmoe_options_json(fsmoe_train_options, json, config);
	if (!err)
		err = fsmoe_options_parse(fsmoe_train_options, argc, argv, config);
	if (err)
		return err;
	config->train.seq = config->model.seq;
	return fsmoe_train_config_check(config);
}

int fsmoe_train_config_load(struct fsmoe_train_config *config, int argc, char **argv)
{
	struct fsmoe_train_config fresh;
	struct fsmoe_json json = {0};
	const int err = load(&fresh, &json, argc, argv);

	if (err)
	{
		fsmoe_json_free(&json);
		return err;
	}
	fresh.json = json;
	*config = fresh;
	return 0;
}

void fsmoe_train_config_free(struct fsmoe_train_config *config)
{
	fsmoe_json_free(&config->json);
}

/* The find functions' own sentences name the modules there are. */
static int check_model(const struct fsmoe_model_spec *model)
{
	if (!fsmoe_gate_find(model->gate) || !fsmoe_order_find(model->order) ||
	    !fsmoe_dispatch_find(model->dispatch) || !fsmoe_expert_find(model->expert))
		return -EINVAL;
	return fsmoe_model_spec_check(model, NULL);
}

int fsmoe_train_config_check(const struct fsmoe_train_config *config)
{
	const struct fsmoe_train_opts *train = &config->train;

	if (!config->data)
		return fsmoe_fail(EINVAL, "there is nothing to train on: give --data=PATH, a text "
					  "file, a directory or a pattern");
	if (train->batch % train->microbatches)
		return fsmoe_fail(EINVAL,
				  "a batch of %d sequences cannot be cut into %d equal parts: "
				  "--microbatches must divide --batch",
				  train->batch, train->microbatches);
	if ((long long)train->batch * config->model.seq > INT_MAX)
		return fsmoe_fail(EINVAL,
				  "a batch of %d sequences of %d tokens is more than 2^31 tokens: "
				  "lower --batch or --seq",
				  train->batch, config->model.seq);
	return check_model(&config->model);
}

int fsmoe_train_config_fits(const struct fsmoe_train_config *config, fsmoe_groups_t groups)
{
	const int dp = fsmoe_group_size(groups, FSMOE_GROUP_DP);
	const struct fsmoe_train_opts *train = &config->train;

	if (train->batch / train->microbatches % dp)
		return fsmoe_fail(EINVAL,
				  "a batch of %d sequences in %d micro-batches cannot be shared by "
				  "%d data-parallel ranks: --batch must be a multiple of %lld",
				  train->batch, train->microbatches, dp,
				  (long long)dp * train->microbatches);
	return fsmoe_model_spec_check(&config->model, groups);
}

double fsmoe_train_config_lr(const struct fsmoe_train_config *config, int step)
{
	return step < config->warmup ? config->lr * step / config->warmup : config->lr;
}
