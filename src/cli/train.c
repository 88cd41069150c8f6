/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "topo/abort.h"
#include "train/config.h"
#include "train/data.h"
#include "train/metrics.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <limits.h>
#include <stdlib.h>

/* One run, from its parts in the order in which they are made. */
struct run
{
	struct fsmoe_train_config config;
	struct fsmoe_data *data;
	int32_t *tokens, *targets; /* the global batch */
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_runtime_t runtime;
	fsmoe_trainer_t trainer;
	int first; /* this is rank 0, which speaks and writes */
	struct fsmoe_metrics *metrics;
	char metrics_path[PATH_MAX];
	double first_loss, last_loss, seconds; /* of the steps */
	size_t tokens_done;
};

const void *cli_train_defaults(void)
{
	static struct fsmoe_train_config config;

	return fsmoe_train_config_init(&config, NULL) ? NULL : &config;
}

/* A line for people: on the screen unless they asked for quiet, in the log always. */
static void say(const struct run *run, const char *line)
{
	if (!run->first)
		return;
	if (!run->config.quiet)
		puts(line);
	fsmoe_log(FSMOE_LOG_INFO, "%s", line);
}

static int open_data(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	const size_t n = (size_t)config->train.batch * (size_t)config->model.seq;
	int err = fsmoe_data_open(&run->data, config->data, config->model.vocab);

	if (err)
		return err;
	run->tokens = calloc(n, sizeof(*run->tokens));
	run->targets = calloc(n, sizeof(*run->targets));
	if (!run->tokens || !run->targets)
		return fsmoe_fail(ENOMEM, "out of memory for a batch of %zu tokens", n);
	/* Whether there is one sample is better known now than when all ranks run. */
	return fsmoe_data_batch(run->data, config->train.seed, 0, 1, config->model.seq, run->tokens,
				run->targets);
}

/* The files that rank 0 leaves. */
static int open_outputs(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	char log[PATH_MAX];
	int err = 0;

	if (!run->first)
		return 0;
	if (config->run)
	{
		err = fsmoe_file_mkdir(config->run);
		if (!err && snprintf(log, sizeof(log), "%s/log", config->run) >= PATH_MAX)
			err = fsmoe_fail(ENAMETOOLONG, "the path %s is too long", config->run);
		if (!err)
			err = fsmoe_log_open(log);
		snprintf(run->metrics_path, PATH_MAX, "%s/metrics.jsonl", config->run);
	}
	if (config->metrics)
		snprintf(run->metrics_path, PATH_MAX, "%s", config->metrics);
	if (!err && *run->metrics_path)
		err = fsmoe_metrics_open(&run->metrics, run->metrics_path);
	return err;
}

static void say_what_runs(const struct run *run)
{
	size_t total, active;
	char line[512];

	fsmoe_model_count(&run->config.model, &total, &active);
	snprintf(
		line, sizeof(line),
		"fsmoe %s: %d %s on %d %s, dp %d mp %d ep %d esp %d; %.3g M parameters, %.3g M per "
		"token; %zu bytes to train on in %d %s",
		PACKAGE_VERSION, fsmoe_topo_ranks(run->topo),
		fsmoe_topo_ranks(run->topo) == 1 ? "rank" : "ranks", fsmoe_topo_nodes(run->topo),
		fsmoe_topo_nodes(run->topo) == 1 ? "node" : "nodes",
		fsmoe_group_size(run->groups, FSMOE_GROUP_DP),
		fsmoe_group_size(run->groups, FSMOE_GROUP_MP),
		fsmoe_group_size(run->groups, FSMOE_GROUP_EP),
		fsmoe_group_size(run->groups, FSMOE_GROUP_ESP), 1e-6 * (double)total,
		1e-6 * (double)active, fsmoe_data_bytes(run->data, FSMOE_SPLIT_TRAIN),
		fsmoe_data_files(run->data), fsmoe_data_files(run->data) == 1 ? "file" : "files");
	say(run, line);
}

static int do_step(struct run *run, int step)
{
	const struct fsmoe_train_config *config = &run->config;
	struct fsmoe_metrics_row row = {.step = step, .lr = fsmoe_train_config_lr(config, step)};
	const uint64_t first = (uint64_t)(step - 1) * (uint64_t)config->train.batch;
	char line[256];
	int err;

	err = fsmoe_data_batch(run->data, config->train.seed, first, config->train.batch,
			       config->model.seq, run->tokens, run->targets);
	if (!err)
		err = fsmoe_trainer_step(run->trainer, run->tokens, run->targets, row.lr,
					 &row.result);
	if (!err && run->metrics)
		err = fsmoe_metrics_write(run->metrics, &row);
	if (err)
		return err;
	if (step == 1)
		run->first_loss = row.result.loss;
	run->last_loss = row.result.loss;
	run->seconds += row.result.seconds;
	run->tokens_done += row.result.tokens;
	say(run, fsmoe_metrics_line(&row, config->steps, line, sizeof(line)));
	return 0;
}

static int do_steps(struct run *run)
{
	char line[PATH_MAX + 256];
	int err = 0;

	for (int step = 1; step <= run->config.steps && !err; step++)
		err = do_step(run, step);
	if (err)
		return err;
	err = fsmoe_metrics_close(run->metrics);
	run->metrics = NULL;
	if (err)
		return err;
	snprintf(line, sizeof(line),
		 "trained %d step%s in %.1f s: loss %.4f -> %.4f, %.0f tokens/s%s%s",
		 run->config.steps, run->config.steps == 1 ? "" : "s", run->seconds,
		 run->first_loss, run->last_loss,
		 run->seconds > 0 ? (double)run->tokens_done / run->seconds : 0.0,
		 *run->metrics_path ? "; see " : "", run->metrics_path);
	say(run, line);
	return 0;
}

/* In reverse order of making; collective where there are several ranks. */
static void release(struct run *run)
{
	fsmoe_metrics_close(run->metrics);
	fsmoe_trainer_destroy(run->trainer);
	fsmoe_runtime_stop(run->runtime);
	fsmoe_groups_destroy(run->groups);
	fsmoe_topo_destroy(run->topo);
	free(run->tokens);
	free(run->targets);
	fsmoe_data_close(run->data);
	fsmoe_train_config_free(&run->config);
	fsmoe_log_close();
}

/* One rank's failure ends the job: others would wait for it in a collective. */
static int fail_alone(struct run *run, int code, int err)
{
	code = cli_fail(code, err);
	fsmoe_topo_abort(run->topo, code);
	release(run); /* only where there are no others */
	return code;
}

static int lay_out(struct run *run)
{
	int err = fsmoe_groups_create(&run->groups, run->topo, &run->config.layout);

	return err ? err : fsmoe_train_config_fits(&run->config, run->groups);
}

static int train(struct run *run)
{
	struct fsmoe_train_config *config = &run->config;
	int err = open_data(run);

	if (err)
		return fail_alone(run, FSMOE_EXIT_DATA, err);
	err = fsmoe_topo_create(&run->topo, NULL, config->nodes);
	if (err)
		return fail_alone(run, FSMOE_EXIT_LAYOUT, err);
	run->first = fsmoe_topo_rank(run->topo) == 0;
	fsmoe_log_setup(fsmoe_topo_rank(run->topo), fsmoe_topo_ranks(run->topo),
			config->quiet ? FSMOE_LOG_ERROR : FSMOE_LOG_WARNING);
	if (lay_out(run))
	{
		/* Arithmetic on what all ranks know: they all are here, and can leave in order. */
		const int code = cli_fail_together(FSMOE_EXIT_LAYOUT);

		release(run);
		return code;
	}
	err = open_outputs(run);
	if (!err)
		err = fsmoe_runtime_start(&run->runtime, run->groups, &config->runtime);
	if (!err)
		err = fsmoe_trainer_create(&run->trainer, run->runtime, fsmoe_model_forward,
					   &config->model, &config->train);
	if (err)
		return fail_alone(run, err == -ENODEV ? FSMOE_EXIT_LAYOUT : FSMOE_EXIT_RUN, err);
	say_what_runs(run);
	err = do_steps(run);
	if (err)
		return fail_alone(run, FSMOE_EXIT_RUN, err);
	release(run);
	return FSMOE_EXIT_OK;
}

int cli_train(int argc, char **argv)
{
	struct run run = {0};
	const int err = fsmoe_train_config_load(&run.config, argc, argv);

	if (err == FSMOE_OPTIONS_HELP)
		return cli_show_help(argv[0]);
	if (err)
		return cli_fail(FSMOE_EXIT_USAGE, err);
	return train(&run);
}
