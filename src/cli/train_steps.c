/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/train.h"

#include "base/log.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/stop.h"
#include "config/manifest_options.h"
#include "runtime/introspect.h"
#include "train/need.h"

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
	err = fsmoe_manifest_from_course(config, &run->plan, &info.run);
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

/* Of another model: every tensor's name and shape, here and there. */
static void show_both(const char *path, fsmoe_graph_t graph)
{
	if (fsmoe_checkpoint_compare(path, graph, NULL) > 0)
		fsmoe_checkpoint_compare(path, graph, stderr);
}

int run_resume(struct run *run, int *code)
{
	struct fsmoe_train_config *config = &run->config;
	const int latest = config->resume && !strcmp(config->resume, "latest");
	const char *path = latest ? config->checkpoint : config->resume;
	struct fsmoe_checkpoint_info info;
	int err;

	if (!config->resume)
		return 0;
	fsmoe_checkpoint_info_init(&info);
	err = fsmoe_checkpoint_load(path, run->trainer, &config->model, &info);
	*code = FSMOE_EXIT_DATA;
	/* A job that is started again and again says --resume=latest the first time as well. */
	if (err == -ENOENT && latest)
	{
		run_say(run, "there is no checkpoint in %s yet: starting from step 1", path);
		return 0;
	}
	if (err == -EINVAL && run->first)
		show_both(path, fsmoe_trainer_graph(run->trainer));
	if (err)
		return err;
	run->step = run->saved = (int)info.step;
	run->samples = info.samples;
	config->train.seed = info.train.seed;
	if (config->runtime.trace && config->runtime.trace_last <= info.step)
	{
		*code = FSMOE_EXIT_USAGE;
		fsmoe_checkpoint_info_free(&info);
		return fsmoe_fail(
			EINVAL,
			"step %d is the next one: give --trace-steps of later steps, such "
			"as %d-%d",
			run->step + 1, run->step + 3, run->step + 4);
	}
	run_say(run, "going on from step %d of %s", run->step, path);
	fsmoe_checkpoint_info_free(&info);
	return 0;
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

/* 0 where the computing device's peak is not known. */
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

/* One step on the batch and what the ranks then tell each other. *stop: how many were asked to
 * stop. -EDOM: the loss is no finite number, on all ranks. */
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
	err = fsmoe_boundary_meet(run->boundary, cli_stop_asked(), &row.load);
	*stop = row.load.stop;
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
	/* Last: where it plans anew, what the boundary lent to `row` is gone. */
	return err ? err : run_observe_step(run);
}

/* Between two steps. A checkpoint that cannot be written is no reason to lose the run: it is said,
 * the older ones are whole. */
static int between(struct run *run)
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

/* All ranks were told alike and are here together. */
static int stopped(struct run *run)
{
	const int asked = cli_stop_asked();
	char name[32];

	snprintf(name, sizeof(name), "SIG%s", asked ? sigabbrev_np(asked) : "NAL to another rank");
	if (!run->config.checkpoint)
		run_say(run,
			"%s: stopped after step %d of %d; nothing is saved without "
			"--checkpoint=DIR",
			name, run->step, run->config.steps);
	else if (run->saved != run->step && save(run))
		return cli_fail_together(FSMOE_EXIT_RUN);
	else
		run_say(run, "%s: stopped after step %d of %d; --resume=latest goes on", name,
			run->step, run->config.steps);
	return FSMOE_EXIT_STOPPED;
}

/* What a GPU has given out, by the end, beside what was predicted. */
static int tell_gpu_memory(struct run *run)
{
	char used[32], need[32];
	struct fsmoe_gpu_memory room;
	int err = run->gpu_need ? fsmoe_runtime_gpu_memory(run->runtime, NULL, 0, &room) : 0;

	if (run->gpu_need && !err)
		run_say(run, "memory: %s of GPU %d are taken, %s were predicted",
			fsmoe_need_text(room.all - room.left, used, sizeof(used)), room.gpu,
			fsmoe_need_text(run->gpu_need, need, sizeof(need)));
	return err;
}

static int finish(struct run *run, int *together)
{
	const struct fsmoe_train_config *config = &run->config;
	int err = 0;

	if (config->checkpoint && run->saved != run->step)
		err = save(run);
	*together = 1;
	if (err)
		return cli_fail_together(FSMOE_EXIT_RUN);
	*together = 0;
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
	if (err)
		return cli_fail(FSMOE_EXIT_RUN, err);
	*together = 1;
	tell_end(run);
	return FSMOE_EXIT_OK;
}

static int not_finite(struct run *run, int *together)
{
	const struct fsmoe_train_config *config = &run->config;

	*together = 1;
	if (run->saved >= 0 && run->first)
		fsmoe_log(FSMOE_LOG_WARNING, "the checkpoint of step %d in %s is kept", run->saved,
			  config->checkpoint ? config->checkpoint : config->resume);
	return cli_fail_together(FSMOE_EXIT_RUN);
}

int run_steps(struct run *run, int *together)
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
			return cli_fail(FSMOE_EXIT_DATA, err);
		err = do_step(run, &stop);
		if (err == -EDOM)
			return not_finite(run, together);
		if (!err && !stop)
			err = between(run);
		progress_show(&bar, run->step);
	}
	progress_clear(&bar);
	if (err)
		return cli_fail(FSMOE_EXIT_RUN, err);
	*together = stop > 0;
	return stop ? stopped(run) : finish(run, together);
}
