/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/train.h"

#include "base/file.h"
#include "base/log.h"
#include "checkpoint/resume.h"
#include "cli/sigabrt.h"
#include "cli/cli.h"
#include "cli/signals.h"
#include "cli/trace.h"
#include "config/run_json.h"
#include "runtime/version.h"
#include "topo/abort.h"
#include "topo/topo.h"
#include "topo/version.h"
#include "train/memory_estimate.h"
#include "train/trainer.h"

#include <errno.h>
#include <fsmoe/checkpoint.h>
#include <fsmoe/error.h>
#include <fsmoe/module.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const void *cli_train_defaults(void)
{
	static struct fsmoe_train_config config;

	return fsmoe_train_config_init(&config, NULL) ? NULL : &config;
}

void run_say(const struct run *run, const char *format, ...)
{
	char line[PATH_MAX + 512];
	va_list args;

	if (!run->first)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (!run->config.quiet)
		puts(line);
	fsmoe_log(FSMOE_LOG_INFO, "%s", line);
}

const struct fsmoe_data *run_held_out(const struct run *run)
{
	return run->val ? run->val : run->data;
}

/* --- the stages before the steps ------------------------------------------------------------ */

static int open_data(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	const size_t n = (size_t)config->train.global_batch * (size_t)config->model.seq_length;
	struct fsmoe_data_opts opts = {.vocab_size = config->model.vocab_size,
				       .format = fsmoe_train_config_format(config),
				       .held_out = config->val ? 0 : config->val_fraction};
	int err = fsmoe_data_open(&run->data, config->data, &opts);

	opts.held_out = 1;
	if (!err && config->val)
		err = fsmoe_data_open(&run->val, config->val, &opts);
	if (err)
		return cli_exit(err, FSMOE_EXIT_DATA);
	run->tokens = calloc(n, sizeof(*run->tokens));
	run->targets = calloc(n, sizeof(*run->targets));
	if (!run->tokens || !run->targets)
		return cli_exit(fsmoe_fail(ENOMEM, "out of memory for a batch of %zu tokens", n),
				FSMOE_EXIT_DATA);
	/* A missing sample is better reported now than when all ranks run. */
	err = fsmoe_data_batch(run->data, config->train.seed, 0, 1, config->model.seq_length,
			       run->tokens, run->targets);
	if (!err && (config->val || config->val_every > 0))
		err = fsmoe_data_windows(run_held_out(run), FSMOE_SPLIT_HELD_OUT, 0, 1,
					 config->model.seq_length, run->tokens, run->targets);
	return cli_exit(err, FSMOE_EXIT_DATA);
}

static int open_topo(struct run *run)
{
	int err = fsmoe_topo_create(&run->topo, NULL, run->config.nodes);

	if (err)
		return cli_exit(err, FSMOE_EXIT_LAYOUT);
	run->first = fsmoe_topo_rank(run->topo) == 0;
	fsmoe_log_setup(fsmoe_topo_rank(run->topo), fsmoe_topo_ranks(run->topo), FSMOE_LOG_WARNING);
	return FSMOE_EXIT_OK;
}

static int make_groups(struct run *run)
{
	if (fsmoe_groups_create(&run->groups, run->topo, &run->config.layout) ||
	    fsmoe_train_config_fits(&run->config, run->groups))
		return FSMOE_EXIT_LAYOUT;
	return FSMOE_EXIT_OK;
}

static int open_log(const struct fsmoe_train_config *config)
{
	char log[PATH_MAX];
	int err = fsmoe_path_join(log, sizeof(log), config->output, "log");

	return err ? err : fsmoe_log_open(log, config->resume != NULL);
}

/* Opens the folders that rank 0 writes to: a missing one is better reported now than when the run
 * is to be saved. */
static int open_folders(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	int err = 0;

	if (!run->first)
		return FSMOE_EXIT_OK;
	if (config->checkpoint)
		err = fsmoe_file_mkdir(config->checkpoint);
	if (!err && config->checkpoint && access(config->checkpoint, W_OK | X_OK))
		err = fsmoe_fail(errno, "cannot save checkpoints in %s: %s", config->checkpoint,
				 strerror(errno));
	if (!err && config->checkpoint && !config->resume)
		err = fsmoe_resume_check_empty(config->checkpoint);
	if (!err && config->output)
		err = fsmoe_file_mkdir(config->output);
	if (!err && config->timeline)
		err = fsmoe_file_check_writable(config->timeline);
	if (!err && config->output)
		err = open_log(config);
	return err == -EEXIST ? FSMOE_EXIT_USAGE : cli_exit(err, FSMOE_EXIT_RUN);
}

static int load_profile(struct run *run)
{
	const char *path = run->config.profile;

	return path && fsmoe_profile_load(&run->profile, path) ? FSMOE_EXIT_DATA : FSMOE_EXIT_OK;
}

static int say_what_runs(struct run *run)
{
	const int ranks = fsmoe_topo_ranks(run->topo), nodes = fsmoe_topo_nodes(run->topo),
		  files = fsmoe_data_files(run->data);
	const struct fsmoe_layout layout = fsmoe_groups_layout(run->groups);
	size_t total = 0, active = 0;

	if (fsmoe_model_count(&run->config.model, run->groups, &total, &active))
		return FSMOE_EXIT_USAGE; /* the model cannot be built */
	run_say(run,
		"fsmoe %s: %d %s on %d %s, dp %d tp %d ep %d esp %d; %.3g M parameters, %.3g M per "
		"token; %zu %s to train on in %d %s, %zu held out",
		PACKAGE_VERSION, ranks, ranks == 1 ? "rank" : "ranks", nodes,
		nodes == 1 ? "node" : "nodes", layout.dp, layout.tp, layout.ep, layout.esp,
		1e-6 * (double)total, 1e-6 * (double)active,
		fsmoe_data_tokens(run->data, FSMOE_SPLIT_TRAIN), fsmoe_data_unit(run->data), files,
		files == 1 ? "file" : "files",
		fsmoe_data_tokens(run_held_out(run), FSMOE_SPLIT_HELD_OUT));
	return FSMOE_EXIT_OK;
}

/* The graphs of the step and of the evaluation: memory is estimated from them before they run. */
static int build_graphs(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	const struct fsmoe_objective objective = fsmoe_train_config_objective(config);
	int err = fsmoe_step_create(&run->step_graph, run->groups,
				    fsmoe_model_as_forward(&run->config.model), &config->train);

	if (!err)
		err = fsmoe_eval_graph(
			&run->eval_graph, run->groups, fsmoe_model_as_forward(&run->eval_model),
			config->train.global_batch / config->train.micro_batches, &objective);
	/* -EINVAL: with its plan the step cannot be built. */
	return err == -EINVAL ? FSMOE_EXIT_USAGE : cli_exit(err, FSMOE_EXIT_RUN);
}

/* Refuses what the host has no room for, before anything large is allocated. */
static int check_memory(struct run *run)
{
	const fsmoe_graph_t graphs[] = {run->step_graph.graph, run->eval_graph.graph};
	struct fsmoe_host_memory memory;

	fsmoe_host_memory_estimate(&memory, graphs, 2, !strcmp(run->config.runtime.device, "cuda"));
	run_say(run, "memory: %s a rank, %s on this host, which has %s",
		fsmoe_memory_text(memory.rank).text, fsmoe_memory_text(memory.host).text,
		fsmoe_memory_text(memory.available).text);
	return cli_exit(fsmoe_host_memory_check(&memory), FSMOE_EXIT_RUN);
}

static int start_runtime(struct run *run)
{
	struct fsmoe_train_config *config = &run->config;
	int err;

	config->runtime.catch_term = 0; /* SIGTERM stops it in order: signals.c */
	config->runtime.timing = config->print_breakdown || config->profile ||
				 config->record_events || config->timeline;
	err = cli_runtime_start(&run->runtime, run->groups, &config->runtime);
	if (!err)
		err = cli_signals_catch(run->runtime);
	return cli_exit(err, FSMOE_EXIT_RUN);
}

/* Refuses what the GPU has no room for, once CUDA has taken its own part. */
static int check_gpu_memory(struct run *run)
{
	const fsmoe_graph_t graphs[] = {run->step_graph.graph, run->eval_graph.graph};
	struct fsmoe_gpu_memory memory;
	int err = fsmoe_runtime_gpu_memory(run->runtime, graphs, 2, &memory);

	if (err || memory.gpu < 0)
		return cli_exit(err, FSMOE_EXIT_RUN);
	run->gpu_need = memory.all - memory.left + memory.need;
	run_say(run, "memory: %s of GPU %d, which has %s left of %s",
		fsmoe_memory_text(memory.need).text, memory.gpu,
		fsmoe_memory_text(memory.left).text, fsmoe_memory_text(memory.all).text);
	return cli_exit(fsmoe_gpu_memory_check(&memory), FSMOE_EXIT_RUN);
}

static int make_trainer(struct run *run)
{
	struct fsmoe_train_config *config = &run->config;
	int err = fsmoe_trainer_create_from(&run->trainer, run->runtime, &run->step_graph,
					    fsmoe_model_as_forward(&config->model), &config->train);

	if (!err)
		fsmoe_flops_count(fsmoe_trainer_graph(run->trainer), &run->flops);
	return cli_exit(err, FSMOE_EXIT_RUN);
}

static int make_eval(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	const struct fsmoe_objective objective = fsmoe_train_config_objective(config);
	int err = 0;

	if (fsmoe_data_samples(run_held_out(run), FSMOE_SPLIT_HELD_OUT, config->model.seq_length))
		err = fsmoe_eval_create(&run->eval, run->runtime, &run->eval_graph,
					config->train.global_batch / config->train.micro_batches,
					&objective, fsmoe_trainer_memory(run->trainer));
	return cli_exit(err, FSMOE_EXIT_RUN);
}

/* Writes RUN/run.json, for reports. */
static int save_run_json(const struct run *run)
{
	char path[PATH_MAX];
	json_t *versions = json_pack("{s:s, s:s, s:s}", "fsmoe", PACKAGE_VERSION, "starpu",
				     fsmoe_starpu_version(), "mpi", fsmoe_mpi_version());
	int err = fsmoe_path_join(path, sizeof(path), run->config.output, "run.json");

	if (!err)
		err = fsmoe_run_json_save(path, &run->config, run->groups, versions);
	json_decref(versions);
	return err;
}

/* Opens the outputs of rank 0, once the first step is known. */
static int open_outputs(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	int err = run_plan_save(run);

	if (!run->first)
		return FSMOE_EXIT_OK;
	if (config->output)
	{
		snprintf(run->metrics_path, PATH_MAX, "%s/metrics.jsonl", config->output);
		if (!err)
			err = save_run_json(run);
	}
	if (config->metrics)
		snprintf(run->metrics_path, PATH_MAX, "%s", config->metrics);
	if (!err && *run->metrics_path)
		err = fsmoe_metrics_open(&run->metrics, run->metrics_path, run->step > 0);
	return cli_exit(err, FSMOE_EXIT_RUN);
}

/* --- the run ------------------------------------------------------------------------------ */

static const struct stage
{
	int (*run)(struct run *run); /* returns an exit code */
	int together;                /* all ranks fail alike */
} stages[] = {
	{open_data, 0},    {open_topo, 0},         {make_groups, 1},   {open_folders, 0},
	{load_profile, 0}, {run_dispatch, 0},      {say_what_runs, 1}, {run_plan, 0},
	{build_graphs, 0}, {check_memory, 0},      {start_runtime, 0}, {check_gpu_memory, 0},
	{make_trainer, 0}, {run_observe_start, 0}, {make_eval, 0},     {run_resume, 1},
	{open_outputs, 0}, {run_steps, 0},
};

/* Releases in reverse order of making; collective if there are several ranks. */
static void release(struct run *run)
{
	fsmoe_metrics_close(run->metrics);
	fsmoe_replanner_destroy(run->replanner);
	cli_signals_release();
	fsmoe_eval_destroy(run->eval);
	fsmoe_trainer_destroy(run->trainer);
	fsmoe_runtime_stop(run->runtime);
	fsmoe_graph_destroy(run->eval_graph.graph);
	fsmoe_step_destroy(&run->step_graph);
	fsmoe_groups_destroy(run->groups);
	fsmoe_topo_destroy(run->topo);
	fsmoe_plan_destroy(&run->plan);
	fsmoe_profile_destroy(run->profile);
	free(run->tokens);
	free(run->targets);
	fsmoe_data_close(run->val);
	fsmoe_data_close(run->data);
	fsmoe_train_config_free(&run->config);
	fsmoe_log_close();
}

/* Prints a failure. One that a rank has alone ends the job: others would wait for the rank in a
 * collective. If all ranks share it, they leave in order. */
static int end_failed(struct run *run, int code)
{
	if (code == FSMOE_EXIT_STOPPED)
		return code;
	if (run->together)
		return cli_fail_together(code);
	code = cli_fail(code, 0);
	fsmoe_topo_abort(run->topo, code);
	return code;
}

static int train(struct run *run)
{
	const int quiet = run->config.quiet;
	char *trace = NULL;
	int code = FSMOE_EXIT_OK;

	for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]) && !code; i++)
	{
		run->together = stages[i].together;
		code = stages[i].run(run);
	}
	if (code)
		code = end_failed(run, code);
	else if (run->first && run->config.runtime.trace)
		trace = strdup(run->config.runtime.trace);
	release(run);
	/* StarPU's trace is complete once every rank has written its part. */
	if (trace)
		code = cli_trace_convert(trace, quiet);
	free(trace);
	return code;
}

int cli_train(int argc, char **argv)
{
	struct run run = {.saved = -1};
	int err = fsmoe_train_config_load(&run.config, argc, argv, fsmoe_resume_config);

	if (err == FSMOE_OPTIONS_HELP_ALL)
		return cli_show_all_help(argv[0]);
	if (err == FSMOE_OPTIONS_HELP)
		return cli_show_help(argv[0]);
	if (err)
		return cli_fail(FSMOE_EXIT_USAGE, err);
	run.eval_model = run.config.model;
	/* If experts choose, or slots are parameters, the number of slots is a part of the
	 * model. */
	if (fsmoe_gate_find(run.config.model.gate)->causal != FSMOE_NOT_CAUSAL)
		run.eval_model.capacity_factor = 0;
	return train(&run);
}
