/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/train.h"

#include "base/file.h"
#include "base/log.h"
#include "cli/sigabrt.h"
#include "cli/cli.h"
#include "cli/stop.h"
#include "cli/trace.h"
#include "config/describe.h"
#include "runtime/version.h"
#include "topo/abort.h"
#include "topo/version.h"
#include "train/need.h"

#include <errno.h>
#include <fsmoe/checkpoint.h>
#include <fsmoe/error.h>
#include <fsmoe/module.h>
#include <inttypes.h>
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
		return err;
	run->tokens = calloc(n, sizeof(*run->tokens));
	run->targets = calloc(n, sizeof(*run->targets));
	if (!run->tokens || !run->targets)
		return fsmoe_fail(ENOMEM, "out of memory for a batch of %zu tokens", n);
	/* Whether there is one sample is better known now than when all ranks run. */
	err = fsmoe_data_batch(run->data, config->train.seed, 0, 1, config->model.seq_length,
			       run->tokens, run->targets);
	if (!err && (config->val || config->val_every > 0))
		err = fsmoe_data_windows(run_held_out(run), FSMOE_SPLIT_HELD_OUT, 0, 1,
					 config->model.seq_length, run->tokens, run->targets);
	return err;
}

/* A run that begins anew would take an earlier one's checkpoints for its own, and remove them. */
static int holds_no_run(const char *folder)
{
	struct fsmoe_checkpoint_info info;
	int err;

	fsmoe_checkpoint_info_init(&info);
	err = fsmoe_checkpoint_read_info(folder, &info);
	if (err == -ENOENT)
		return 0;
	if (!err)
		err = fsmoe_fail(EEXIST,
				 "%s holds step %" PRIu64 " of an earlier run: go on with it by "
				 "--resume=latest, or give another --checkpoint",
				 folder, info.step);
	fsmoe_checkpoint_info_free(&info);
	return err;
}

/* Where rank 0 leaves the log and the last step's timeline, and all ranks checkpoints: that there is
 * no such place is better known now than when a run is to be saved. */
static int open_places(const struct fsmoe_train_config *config)
{
	char log[PATH_MAX];
	int err = config->checkpoint ? fsmoe_file_mkdir(config->checkpoint) : 0;

	if (!err && config->checkpoint && access(config->checkpoint, W_OK | X_OK))
		err = fsmoe_fail(errno, "cannot save checkpoints in %s: %s", config->checkpoint,
				 strerror(errno));
	if (!err && config->checkpoint && !config->resume)
		err = holds_no_run(config->checkpoint);
	if (!err && config->output)
		err = fsmoe_file_mkdir(config->output);
	if (!err && config->timeline)
		err = fsmoe_file_check_writable(config->timeline);
	if (err || !config->output)
		return err;
	if (snprintf(log, sizeof(log), "%s/log", config->output) >= PATH_MAX)
		err = fsmoe_fail(ENAMETOOLONG, "the path %s is too long", config->output);
	return err ? err : fsmoe_log_open(log, config->resume != NULL);
}

/* RUN/run.json, for reports. */
static int describe(const struct run *run)
{
	char path[PATH_MAX];
	json_t *versions = json_pack("{s:s, s:s, s:s}", "fsmoe", PACKAGE_VERSION, "starpu",
				     fsmoe_starpu_version(), "mpi", fsmoe_mpi_version());
	int err = fsmoe_path_join(path, sizeof(path), run->config.output, "run.json");

	if (!err)
		err = fsmoe_describe_save(path, &run->config, run->groups, versions);
	json_decref(versions);
	return err;
}

/* Rank 0, once it is known where the run goes on. */
static int open_outputs(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	int err = run_plan_save(run);

	if (!run->first)
		return 0;
	if (config->output)
	{
		snprintf(run->metrics_path, PATH_MAX, "%s/metrics.jsonl", config->output);
		if (!err)
			err = describe(run);
	}
	if (config->metrics)
		snprintf(run->metrics_path, PATH_MAX, "%s", config->metrics);
	if (!err && *run->metrics_path)
		err = fsmoe_metrics_open(&run->metrics, run->metrics_path, run->step > 0);
	return err;
}

static int say_what_runs(const struct run *run)
{
	const int ranks = fsmoe_topo_ranks(run->topo), nodes = fsmoe_topo_nodes(run->topo),
		  files = fsmoe_data_files(run->data);
	size_t total = 0, active = 0;
	const int err = fsmoe_model_count(&run->config.model, run->groups, &total, &active);

	if (err)
		return err;
	run_say(run,
		"fsmoe %s: %d %s on %d %s, dp %d mp %d ep %d esp %d; %.3g M parameters, %.3g M per "
		"token; %zu %s to train on in %d %s, %zu held out",
		PACKAGE_VERSION, ranks, ranks == 1 ? "rank" : "ranks", nodes,
		nodes == 1 ? "node" : "nodes", fsmoe_group_size(run->groups, FSMOE_GROUP_DP),
		fsmoe_group_size(run->groups, FSMOE_GROUP_TP),
		fsmoe_group_size(run->groups, FSMOE_GROUP_EP),
		fsmoe_group_size(run->groups, FSMOE_GROUP_ESP), 1e-6 * (double)total,
		1e-6 * (double)active, fsmoe_data_tokens(run->data, FSMOE_SPLIT_TRAIN),
		fsmoe_data_unit(run->data), files, files == 1 ? "file" : "files",
		fsmoe_data_tokens(run_held_out(run), FSMOE_SPLIT_HELD_OUT));
	return 0;
}

/* Estimated, said, and refused, before anything large is allocated. */
static int check_memory(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	char rank[32], host[32], available[32];
	struct fsmoe_need need;
	int err = fsmoe_need_estimate(run->groups, !strcmp(config->runtime.device, "cuda"),
				      fsmoe_model_forward, &run->config.model, &run->eval_model,
				      &config->train, &need);

	if (err)
		return err;
	run_say(run, "memory: %s a rank, %s on this host, which has %s",
		fsmoe_need_text(need.rank, rank, sizeof(rank)),
		fsmoe_need_text(need.host, host, sizeof(host)),
		fsmoe_need_text(need.available, available, sizeof(available)));
	return fsmoe_need_check(&need);
}

/* The same of a GPU: once CUDA has taken its own part, and before anything else is. */
static int check_gpu_memory(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	char need[32], left[32], all[32];
	struct fsmoe_gpu_memory room;
	int err = fsmoe_need_estimate_gpu(run->runtime, fsmoe_model_forward, &run->config.model,
					  &run->eval_model, &config->train, &room);

	if (err || room.gpu < 0)
		return err;
	run->gpu_need = room.all - room.left + room.need;
	run_say(run, "memory: %s of GPU %d, which has %s left of %s",
		fsmoe_need_text(room.need, need, sizeof(need)), room.gpu,
		fsmoe_need_text(room.left, left, sizeof(left)),
		fsmoe_need_text(room.all, all, sizeof(all)));
	return fsmoe_need_check_gpu(&room);
}

/* StarPU's trace, once every rank has written its part: where this rank is to see to it. */
static char *trace_to_convert(const struct run *run)
{
	return run->first && run->config.runtime.trace ? strdup(run->config.runtime.trace) : NULL;
}

/* In reverse order of making; collective where there are several ranks. */
static void release(struct run *run)
{
	fsmoe_metrics_close(run->metrics);
	run_observe_release(run);
	cli_stop_release();
	fsmoe_boundary_destroy(run->boundary);
	fsmoe_eval_destroy(run->eval);
	fsmoe_trainer_destroy(run->trainer);
	fsmoe_runtime_stop(run->runtime);
	fsmoe_groups_destroy(run->groups);
	fsmoe_topo_destroy(run->topo);
	fsmoe_plan_destroy(&run->plan);
	free(run->tokens);
	free(run->targets);
	fsmoe_data_close(run->val);
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

/* A failure that all ranks have: they all are here, and can leave in order. */
static int fail_together(struct run *run, int code)
{
	code = cli_fail_together(code);
	release(run);
	return code;
}

static int lay_out(struct run *run)
{
	int err = fsmoe_groups_create(&run->groups, run->topo, &run->config.layout);

	return err ? err : fsmoe_train_config_fits(&run->config, run->groups);
}

static int start(struct run *run)
{
	struct fsmoe_train_config *config = &run->config;
	const struct fsmoe_objective objective = fsmoe_train_config_objective(config);
	int err;

	config->runtime.catch_term = 0; /* it is stopped in order: stop.c */
	config->runtime.timing = config->print_breakdown || config->profile ||
				 config->record_events || config->timeline;
	err = cli_runtime_start(&run->runtime, run->groups, &config->runtime);

	if (!err)
		err = cli_stop_catch(run->runtime);
	if (!err)
		err = check_gpu_memory(run);
	if (!err)
		err = fsmoe_trainer_create(&run->trainer, run->runtime, fsmoe_model_forward,
					   &run->config.model, &config->train);
	if (!err)
	{
		fsmoe_flops_count(fsmoe_trainer_graph(run->trainer), &run->flops);
		err = fsmoe_boundary_create(&run->boundary, run->trainer, run->runtime);
	}
	if (!err)
		err = run_observe_start(run);
	if (!err &&
	    fsmoe_data_samples(run_held_out(run), FSMOE_SPLIT_HELD_OUT, config->model.seq_length))
		err = fsmoe_eval_create(&run->eval, run->runtime, fsmoe_model_forward,
					&run->eval_model,
					config->train.global_batch / config->train.micro_batches,
					&objective, fsmoe_trainer_memory(run->trainer));
	return err;
}

static int start_code(int err)
{
	return err == -ENODATA                    ? FSMOE_EXIT_DATA
	       : err == -ENODEV || err == -ENOMEM ? FSMOE_EXIT_LAYOUT
						  : FSMOE_EXIT_RUN;
}

static int train(struct run *run)
{
	struct fsmoe_train_config *config = &run->config;
	int err = open_data(run), code = FSMOE_EXIT_RUN, together = 0;
	const int quiet = run->config.quiet;
	char *trace;

	if (err)
		return fail_alone(run, FSMOE_EXIT_DATA, err);
	err = fsmoe_topo_create(&run->topo, NULL, config->nodes);
	if (err)
		return fail_alone(run, FSMOE_EXIT_LAYOUT, err);
	run->first = fsmoe_topo_rank(run->topo) == 0;
	fsmoe_log_setup(fsmoe_topo_rank(run->topo), fsmoe_topo_ranks(run->topo), FSMOE_LOG_WARNING);
	if (lay_out(run))
		return fail_together(run, FSMOE_EXIT_LAYOUT);
	err = run->first ? open_places(config) : 0;
	if (err)
		return fail_alone(run, err == -EEXIST ? FSMOE_EXIT_USAGE : FSMOE_EXIT_RUN, err);
	code = run_dispatch(run);
	if (code)
		return fail_alone(run, code, 0);
	if (say_what_runs(run)) /* the model cannot be built, on any rank */
		return fail_together(run, FSMOE_EXIT_USAGE);
	code = run_plan(run);
	if (code)
		return fail_alone(run, code, 0);
	err = check_memory(run);
	if (err == -EINVAL) /* with its plan the step cannot be built */
		return fail_alone(run, FSMOE_EXIT_USAGE, err);
	if (!err)
		err = start(run);
	if (err)
		return fail_alone(run, start_code(err), err);
	if (run_resume(run, &code))
		return fail_together(run, code);
	err = open_outputs(run);
	if (err)
		return fail_alone(run, FSMOE_EXIT_RUN, err);
	code = run_steps(run, &together);
	if (code && !together)
		fsmoe_topo_abort(run->topo, code);
	trace = trace_to_convert(run);
	release(run);
	if (trace && code == FSMOE_EXIT_OK)
		code = cli_trace_convert(trace, quiet);
	free(trace);
	return code;
}

int cli_train(int argc, char **argv)
{
	struct run run = {.saved = -1};
	const int err = fsmoe_train_config_load(&run.config, argc, argv);

	if (err == FSMOE_OPTIONS_HELP)
		return cli_show_help(argv[0]);
	if (err)
		return cli_fail(FSMOE_EXIT_USAGE, err);
	run.eval_model = run.config.model;
	/* Where experts choose, or slots are parameters, the slots are the model. */
	if (fsmoe_gate_find(run.config.model.gate)->causal != FSMOE_NOT_CAUSAL)
		run.eval_model.capacity_factor = 0;
	return train(&run);
}
