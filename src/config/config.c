/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include "runtime/introspect.h"

#include "moe/layer.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/module.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* How a preset's model is trained, where that differs from the defaults. */
static const struct preset_training
{
	const char *preset;
	int steps, warmup_steps, global_batch, log_every, val_every, val_samples;
	double lr, min_lr_ratio, weight_decay, beta2, balance_loss;
} presets[] = {
	{"quickstart", 3000, 100, 8, 10, 500, 128, 3e-3, 0.05, 0.1, 0.99, 0.01},
};
#define NPRESETS (sizeof(presets) / sizeof(presets[0]))

static void apply_preset(struct fsmoe_train_config *config, const struct preset_training *preset)
{
	config->steps = preset->steps;
	config->warmup_steps = preset->warmup_steps;
	config->train.global_batch = preset->global_batch;
	config->log_every = preset->log_every;
	config->val_every = preset->val_every;
	config->val_samples = preset->val_samples;
	config->lr = preset->lr;
	config->min_lr_ratio = preset->min_lr_ratio;
	config->train.weight_decay = preset->weight_decay;
	config->train.beta2 = preset->beta2;
	config->model.gate_opts.balance_loss = preset->balance_loss;
}

int fsmoe_train_config_init(struct fsmoe_train_config *config, const char *preset)
{
	struct fsmoe_train_config fresh = {.steps = 100,
					   .lr = 1e-3,
					   .min_lr_ratio = 0.1,
					   .log_every = 1,
					   .timeline_steps = 1,
					   .val_fraction = 0.1,
					   .keep_checkpoints = 2,
					   .max_degree = 8,
					   .replan = 1,
					   .data_format = "auto",
					   .on_nan = "stop",
					   .objective = "next",
					   .preset = preset};
	const int err = fsmoe_model_spec_init(&fresh.model, preset);

	if (err)
		return err;
	fsmoe_train_opts_init(&fresh.train);
	fsmoe_runtime_opts_init(&fresh.runtime);
	for (size_t i = 0; preset && i < NPRESETS; i++)
		if (!strcmp(presets[i].preset, preset))
			apply_preset(&fresh, &presets[i]);
	*config = fresh;
	return 0;
}

/* A value that decides about earlier sources, from the later ones that may hold it. */
static const char *find_option(const char *flag, const struct fsmoe_json *json, const char *key)
{
	return flag ? flag : json_string_value(json_object_get(json->root, key));
}

/* Reads --trace-steps=A-B or =A. By default steps 3 and 4, or the last of a shorter run. */
static int choose_traced(struct fsmoe_train_config *config)
{
	const char *text = config->trace_steps;
	int first = 3, last = 4, end = 0;

	if (!text)
	{
		first = first < config->steps ? first : config->steps;
		last = last < config->steps ? last : config->steps;
	}
	else if (!config->runtime.trace)
		return fsmoe_fail(EINVAL, "--trace-steps=%s has no folder: give --trace=DIR", text);
	else if (sscanf(text, "%d-%d%n", &first, &last, &end) != 2 || text[end])
	{
		if (sscanf(text, "%d%n", &first, &end) != 1 || text[end])
			first = 0;
		last = first;
	}
	if (first < 1 || last < first || last > config->steps)
		return fsmoe_fail(EINVAL,
				  "--trace-steps=%s: give the first and the last of 1 to %d, such "
				  "as 1-%d",
				  text, config->steps, config->steps < 2 ? 1 : 2);
	config->runtime.trace_first = (uint64_t)first;
	config->runtime.trace_last = (uint64_t)last;
	return 0;
}

static int load(struct fsmoe_train_config *config, struct fsmoe_json *json, int argc, char **argv,
		fsmoe_resume_fn follow)
{
	const char *preset = NULL, *resume = NULL, *checkpoint = NULL;
	int err = fsmoe_train_config_init(config, NULL);

	if (!err)
		err = fsmoe_options_parse(fsmoe_train_options, argc, argv, config);
	if (!err && config->config)
		err = fsmoe_json_load(json, config->config);
	if (!err)
	{
		preset = find_option(config->preset, json, "preset");
		resume = find_option(config->resume, json, "resume");
		checkpoint = find_option(config->checkpoint, json, "checkpoint");
		err = fsmoe_train_config_init(config, preset);
	}
	if (!err && resume)
		err = follow(config, strcmp(resume, "latest") ? resume : checkpoint, preset);
	if (!err && json->root)
		err = fsmoe_options_json(fsmoe_train_options, json, config);
	if (!err)
		err = fsmoe_options_parse(fsmoe_train_options, argc, argv, config);
	if (err)
		return err;
	config->train.seq_length = config->model.seq_length;
	err = choose_traced(config);
	return err ? err : fsmoe_train_config_check(config);
}

/* Masked tokens are predicted from what comes before and after. */
void fsmoe_train_config_apply_objective(struct fsmoe_train_config *config)
{
	const struct fsmoe_objective objective = fsmoe_train_config_objective(config);

	config->train.targets = fsmoe_objective_targets(&objective);
	config->model.bidirectional |= objective.masked;
}

int fsmoe_train_config_load(struct fsmoe_train_config *config, int argc, char **argv,
			    fsmoe_resume_fn resume)
{
	struct fsmoe_train_config fresh;
	struct fsmoe_json json = {0};
	const int err = load(&fresh, &json, argc, argv, resume);

	if (err)
	{
		fsmoe_json_free(&json);
		return err;
	}
	fsmoe_train_config_apply_objective(&fresh);
	fresh.json = json;
	*config = fresh;
	return 0;
}

void fsmoe_train_config_free(struct fsmoe_train_config *config)
{
	fsmoe_json_free(&config->json);
}

const char *fsmoe_train_config_resumed(const struct fsmoe_train_config *config)
{
	return config->resume && !strcmp(config->resume, "latest") ? config->checkpoint
								   : config->resume;
}

/* Failing find functions list the modules in their own sentences. */
static int check_model(const struct fsmoe_model_spec *model)
{
	const struct fsmoe_gate *gate = fsmoe_gate_find(model->gate);

	if (!gate || !fsmoe_order_find(model->order) ||
	    (strcmp(model->dispatch, FSMOE_DISPATCH_AUTO) &&
	     !fsmoe_dispatch_find(model->dispatch)) ||
	    !fsmoe_expert_find(model->expert) || fsmoe_gate_check_options(gate, &model->gate_opts))
		return -EINVAL;
	return fsmoe_model_spec_check(model, NULL);
}

int fsmoe_train_config_check_chunks(const struct fsmoe_train_config *config, const char *what,
				    int chunks)
{
	const int most = fsmoe_runtime_most_chunks(config->runtime.device);

	return chunks <= most
		       ? 0
		       : fsmoe_fail(EINVAL,
				    "%s: %d chunks of a layer are more than the %d that the device "
				    "'%s' takes",
				    what, chunks, most, config->runtime.device);
}

int fsmoe_train_config_check_model(const struct fsmoe_train_config *config)
{
	const struct fsmoe_train_opts *train = &config->train;

	if (train->global_batch % train->micro_batches)
		return fsmoe_fail(EINVAL,
				  "a batch of %d sequences cannot be cut into %d equal parts: "
				  "--micro-batches must divide --global-batch",
				  train->global_batch, train->micro_batches);
	if ((long long)train->global_batch * config->model.seq_length > INT_MAX)
		return fsmoe_fail(EINVAL,
				  "a batch of %d sequences of %d tokens is more than 2^31 tokens: "
				  "lower --global-batch or --seq-length",
				  train->global_batch, config->model.seq_length);
	if (fsmoe_train_config_check_chunks(config, "--forward-degree",
					    config->model.forward_degree) ||
	    fsmoe_train_config_check_chunks(config, "--backward-degree",
					    config->model.backward_degree))
		return -EINVAL;
	if (config->model.bidirectional && !config->model.allow_leak &&
	    strcmp(config->objective, "masked"))
		return fsmoe_fail(EINVAL,
				  "a model whose attention sees whole sequences knows the next "
				  "token: --bidirectional is for --objective=masked");
	return check_model(&config->model);
}

int fsmoe_train_config_check(const struct fsmoe_train_config *config)
{
	if (!config->data)
		return fsmoe_fail(EINVAL, "there is nothing to train on: give --data=PATH, a text "
					  "file, a directory or a pattern");
	if (!strcmp(config->model.dispatch, FSMOE_DISPATCH_AUTO) && !config->profile)
		return fsmoe_fail(
			EINVAL, "--dispatch=auto chooses by what tasks cost: give --profile=FILE, "
				"which 'fsmoe profile' measures, or the name of a dispatch");
	if (config->checkpoint_every > 0 && !config->checkpoint)
		return fsmoe_fail(EINVAL,
				  "--checkpoint-every=%d has no folder: give "
				  "--checkpoint=DIR",
				  config->checkpoint_every);
	if (config->resume && !strcmp(config->resume, "latest") && !config->checkpoint)
		return fsmoe_fail(EINVAL, "--resume=latest looks in --checkpoint=DIR, which is "
					  "not given");
	if (fsmoe_runtime_opts_check(&config->runtime) ||
	    fsmoe_train_config_check_chunks(config, "--max-degree", config->max_degree))
		return -EINVAL;
	return fsmoe_train_config_check_model(config);
}

int fsmoe_train_config_fits(const struct fsmoe_train_config *config, fsmoe_groups_t groups)
{
	const int dp = fsmoe_group_size(groups, FSMOE_GROUP_DP);
	const struct fsmoe_train_opts *train = &config->train;

	if (train->global_batch / train->micro_batches % dp)
		return fsmoe_fail(
			EINVAL,
			"a batch of %d sequences in %d micro-batches cannot be shared by "
			"%d data-parallel ranks: --global-batch must be a multiple of %lld",
			train->global_batch, train->micro_batches, dp,
			(long long)dp * train->micro_batches);
	return fsmoe_model_spec_check(&config->model, groups);
}

double fsmoe_train_config_lr(const struct fsmoe_train_config *config, int step)
{
	double done;

	if (step < config->warmup_steps)
		return config->lr * step / config->warmup_steps;
	if (step >= config->steps || config->min_lr_ratio == 1)
		return config->lr * config->min_lr_ratio;
	done = (double)(step - config->warmup_steps) / (config->steps - config->warmup_steps);
	return config->lr *
	       (config->min_lr_ratio + (1 - config->min_lr_ratio) * 0.5 * (1 + cos(M_PI * done)));
}
