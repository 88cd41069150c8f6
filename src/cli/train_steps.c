/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/train.h"

#include "base/log.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "config/checkpoint_config.h"
#include "runtime/introspect.h"
#include "train/memory_estimate.h"
#include "train/trainer.h"

#include <errno.h>
#include <fsmoe/checkpoint.h>
#include <fsmoe/error.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static int save(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	struct fsmoe_checkpoint_info info;
	int err;

	fsmoe_checkpoint_info_init(&info);
	info.samples = run->samples;
	info.has_model = 1;
	info.model = config->model;
	err = fsmoe_json_from_run(config, &run->plan, &info.run);
	if (!err)
		err = fsmoe_checkpoint_save(config->checkpoint, run->trainer, &info,
					    config->keep_checkpoints);
	fsmoe_checkpoint_info_free(&info);
	if (err)
		return err;
	run->saved = run->step;
	run_say(run, "saved step %d in %s", run->step, config->checkpoint);
	return 0;
}

/* Prints every tensor's name and shape, here and in a checkpoint of another model. */
static void show_tensors(const char *path, fsmoe_graph_t graph)
{
	if (fsmoe_checkpoint_compare(path, graph, NULL) > 0)
		fsmoe_checkpoint_compare(path, graph, stderr);
}

int run_resume(struct run *run)
{
	struct fsmoe_train_config *config = &run->config;
	const char *path = fsmoe_train_config_resumed(config);
	struct fsmoe_checkpoint_info info;
	int err;

	if (!path)
		return FSMOE_EXIT_OK;
	fsmoe_checkpoint_info_init(&info);
	err = fsmoe_checkpoint_load(path, run->trainer, &config->model, &info);
	/* The first start of a job that is queued again and again has --resume=latest, too. */
	if (err == -ENOENT && !strcmp(config->resume, "latest"))
	{
		run_say(run, "there is no checkpoint in %s yet: starting from step 1", path);
		return FSMOE_EXIT_OK;
	}
	if (err == -EINVAL && run->first)
		show_tensors(path, fsmoe_trainer_graph(run->trainer));
	if (err)
		return FSMOE_EXIT_DATA;
	run->step = run->saved = (int)info.step;
	run->samples = info.samples;
	config->train.seed = info.train.seed;
	fsmoe_checkpoint_info_free(&info);
	if (config->runtime.trace && config->runtime.trace_last <= (uint64_t)run->step)
	{
		fsmoe_fail(EINVAL,
			   "step %d is the next one: give --trace-steps of later steps, such as "
			   "%d-%d",
			   run->step + 1, run->step + 3, run->step + 4);
		return FSMOE_EXIT_USAGE;
	}
	run_say(run, "going on from step %d of %s", run->step, path);
	return FSMOE_EXIT_OK;
}

static int evaluate(struct run *run, int samples)
{
	struct fsmoe_eval_result result;
	int err;

	if (!run->eval)
		return 0;
	err = fsmoe_eval_run(run->eval, run_held_out(run), FSMOE_SPLIT_HELD_OUT, (size_t)samples,
			     &result);
	if (!err && run->metrics)
		err = fsmoe_metrics_write_val(run->metrics, run->step, &result);
	if (err)
		return err;
	run_say(run, "step %d  held-out loss %.4f  over %zu tokens in %.1f s", run->step,
		result.loss, result.tokens, result.seconds);
	return 0;
}

/* MFU of a step; 0: the device's peak is not known. */
static double mfu_of(const struct run *run, const struct fsmoe_metrics_row *row)
{
	const int ranks = fsmoe_topo_ranks(run->topo);
	const double peak = run->config.peak_tflops > 0 ? 1e12 * run->config.peak_tflops
							: fsmoe_runtime_peak(run->runtime);

	if (peak <= 0 || row->result.seconds <= 0)
		return 0;
	return fsmoe_flops_routed(&run->flops, ranks, row->load.routed - row->load.dropped) /
	       (row->result.seconds * ranks * peak);
}

static void tell_step(struct run *run, const struct fsmoe_metrics_row *row)
{
	const struct fsmoe_train_config *config = &run->config;
	char line[320];

	if (row->step % config->log_every && row->step != config->steps)
		return;
	run_say(run, "%s", fsmoe_metrics_line(row, config->steps, line, sizeof(line)));
}

static int next_batch(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	const struct fsmoe_objective objective = fsmoe_train_config_objective(config);
	int err = fsmoe_data_batch(run->data, config->train.seed, run->samples,
				   config->train.global_batch, config->model.seq_length,
				   run->tokens, run->targets);

	if (!err)
		fsmoe_objective_apply(&objective, config->train.seed, run->samples,
				      config->train.global_batch, run->tokens, run->targets);
	return err;
}

/* Takes one step on the batch; then the ranks meet. *stop: how many were asked to stop. -EDOM: the
 * loss is not finite, on all ranks. */
static int do_step(struct run *run, int *stop)
{
	const struct fsmoe_train_config *config = &run->config;
	struct fsmoe_metrics_row row = {.step = run->step + 1,
					.lr = fsmoe_train_config_lr(config, run->step + 1)};
	struct fsmoe_train_result *result = &row.result;
	int err = fsmoe_trainer_step(run->trainer, run->tokens, run->targets, row.lr, result),
	    skipped = 0;

	if (err == -EDOM && !strcmp(config->on_nan, "skip"))
	{
		if (run->first)
			fsmoe_log(FSMOE_LOG_WARNING, "%s: skipped", fsmoe_last_error());
		result->loss = result->grad_norm = NAN;
		run->skipped += skipped = 1;
		err = 0;
	}
	if (err)
		return err;
	run->step++;
	run->samples += (uint64_t)config->train.global_batch;
	err = fsmoe_trainer_meet(run->trainer, cli_signals_asked(), stop, &row.load);
	row.mfu = mfu_of(run, &row);
	if (!err && run->metrics)
		err = fsmoe_metrics_write(run->metrics, &row);
	if (!err && !skipped)
	{
		if (isnan(run->first_loss))
			run->first_loss = result->loss;
		run->last_loss = result->loss;
		run->seconds += result->seconds;
		run->tokens_done += result->tokens;
		tell_step(run, &row);
	}
	/* Last, since replanning frees what row.load points to. */
	return err ? err : run_observe_step(run);
}

/* Saves and evaluates between two steps. A checkpoint that cannot be written is a warning: the
 * older ones are whole. */
static int between_steps(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	const int last = run->step >= config->steps;

	if (config->checkpoint && config->checkpoint_every > 0 && !last &&
	    run->step % config->checkpoint_every == 0 && save(run) && run->first)
		fsmoe_log(FSMOE_LOG_WARNING, "%s; training goes on", fsmoe_last_error());
	if (config->val_every > 0 && !last && run->step % config->val_every == 0)
		return evaluate(run, config->val_samples);
	return 0;
}

static void tell_end(struct run *run)
{
	const int steps = run->step - run->began;
	char skipped[40] = "";

	if (run->skipped)
		snprintf(skipped, sizeof(skipped), " (%d skipped)", run->skipped);
	if (!steps)
	{
		run_say(run,
			"there was nothing to train: %d steps were done before, --steps=%d goes on",
			run->step, 2 * run->step);
		return;
	}
	run_say(run, "trained %d step%s%s in %.1f s: loss %.4f -> %.4f, %.0f tokens/s%s%s", steps,
		steps == 1 ? "" : "s", skipped, run->seconds, run->first_loss, run->last_loss,
		run->seconds > 0 ? (double)run->tokens_done / run->seconds : 0.0,
		*run->metrics_path ? "; see " : "", run->metrics_path);
}

/* All ranks learned of the stop in the same meeting and are here together. */
static int stop_run(struct run *run)
{
	const int asked = cli_signals_asked();
	char name[32];

	snprintf(name, sizeof(name), "SIG%s", asked ? sigabbrev_np(asked) : "NAL to another rank");
	if (!run->config.checkpoint)
		run_say(run,
			"%s: stopped after step %d of %d; nothing is saved without "
			"--checkpoint=DIR",
			name, run->step, run->config.steps);
	else if (run->saved != run->step && save(run))
		return FSMOE_EXIT_RUN;
	else
		run_say(run, "%s: stopped after step %d of %d; --resume=latest goes on", name,
			run->step, run->config.steps);
	return FSMOE_EXIT_STOPPED;
}

/* Prints the memory that is taken of a GPU by the end, beside what was predicted. */
static int tell_gpu_memory(struct run *run)
{
	struct fsmoe_gpu_memory room;
	int err = run->gpu_need ? fsmoe_runtime_gpu_memory(run->runtime, NULL, 0, &room) : 0;

	if (run->gpu_need && !err)
		run_say(run, "memory: %s of GPU %d are taken, %s were predicted",
			fsmoe_memory_text(room.all - room.left).text, room.gpu,
			fsmoe_memory_text(run->gpu_need).text);
	return err;
}

static int end_run(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	int err;

	run->together = 1;
	if (config->checkpoint && run->saved != run->step && save(run))
		return FSMOE_EXIT_RUN;
	run->together = 0;
	err = run_observe_end(run); /* before anything else runs */
	if (!err)
		err = evaluate(run, 0);
	if (!err && run->first)
		err = fsmoe_metrics_close(run->metrics);
	run->metrics = NULL;
	if (!err)
		err = tell_gpu_memory(run);
	if (!err && config->print_breakdown && run->tokens_done)
		err = run_breakdown(run);
	if (!err)
		tell_end(run);
	return cli_exit(err, FSMOE_EXIT_RUN);
}

static int end_not_finite(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;

	run->together = 1;
	if (run->saved >= 0 && run->first)
		fsmoe_log(FSMOE_LOG_WARNING, "the checkpoint of step %d in %s is kept", run->saved,
			  config->checkpoint ? config->checkpoint : config->resume);
	return FSMOE_EXIT_RUN;
}

int run_steps(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	struct progress bar;
	int err = 0, stop = 0;

	run->began = run->step;
	run->first_loss = run->last_loss = NAN;
	progress_begin(&bar, run->first && !config->quiet, config->progress, run->step,
		       config->steps);
	while (run->step < config->steps && !err && !stop)
	{
		progress_clear(&bar);
		if ((err = next_batch(run)))
			return cli_exit(err, FSMOE_EXIT_DATA);
		err = do_step(run, &stop);
		if (err == -EDOM)
			return end_not_finite(run);
		if (!err && !stop)
			err = between_steps(run);
		progress_show(&bar, run->step);
	}
	progress_clear(&bar);
	if (err)
		return cli_exit(err, FSMOE_EXIT_RUN);
	run->together = stop > 0;
	return stop ? stop_run(run) : end_run(run);
}
