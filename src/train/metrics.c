/* SPDX-License-Identifier: Apache-2.0 */
#include "train/metrics.h"

#include "base/json.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fsmoe_metrics
{
	FILE *file;
	char *path;
};

int fsmoe_metrics_open(struct fsmoe_metrics **metrics, const char *path, int append)
{
	struct fsmoe_metrics *fresh = calloc(1, sizeof(*fresh));
	int err = ENOMEM;

	if (fresh && (fresh->path = strdup(path)))
	{
		fresh->file = fopen(path, append ? "ae" : "we");
		err = errno;
	}
	if (!fresh || !fresh->file)
	{
		free(fresh ? fresh->path : NULL);
		free(fresh);
		return fsmoe_fail(err, "cannot write the metrics %s: %s", path, strerror(err));
	}
	*metrics = fresh;
	return 0;
}

static int failed(const char *path)
{
	const int err = errno ? errno : EIO;

	return fsmoe_fail(err, "cannot write the metrics %s: %s", path, strerror(err));
}

int fsmoe_metrics_close(struct fsmoe_metrics *metrics)
{
	int err = 0;

	if (!metrics)
		return 0;
	errno = 0;
	if (fclose(metrics->file))
		err = failed(metrics->path);
	free(metrics->path);
	free(metrics);
	return err;
}

static double tokens_per_second(const struct fsmoe_train_result *result)
{
	return result->seconds > 0 ? (double)result->tokens / result->seconds : 0;
}

static int flush(struct fsmoe_metrics *metrics)
{
	if (fflush(metrics->file) || ferror(metrics->file))
		return failed(metrics->path);
	return 0;
}

/* "expert_load": [[tokens of an expert, ...] of a layer, ...], in so few steps that the file stays
 * small. */
static void write_expert_load(FILE *file, int step, const struct fsmoe_expert_load *load)
{
	enum
	{
		NUMBERS = 64 /* a step, on average */
	};
	const int n = load->layers * load->experts;

	if (n == 0 || step % ((n + NUMBERS - 1) / NUMBERS))
		return;
	fputs(", \"expert_load\": [", file);
	for (int i = 0; i < n; i++)
		fprintf(file, "%s%.0f%s",
			i == 0              ? "["
			: i % load->experts ? ", "
					    : ", [",
			load->expert_load[i], (i + 1) % load->experts ? "" : "]");
	fputc(']', file);
}

int fsmoe_metrics_write(struct fsmoe_metrics *metrics, const struct fsmoe_metrics_row *row)
{
	const struct fsmoe_train_result *result = &row->result;
	const struct fsmoe_expert_load *load = &row->load;
	char loss[32], lr[32], norm[32];

	/* Loss and norm in full, so that two runs can be compared bit by bit. */
	errno = 0;
	fprintf(metrics->file,
		"{\"step\": %d, \"loss\": %s, \"lr\": %s, \"grad_norm\": %s, "
		"\"tokens_per_s\": %.1f, \"ms\": %.3f, \"tokens\": %zu, \"routed\": %.0f, "
		"\"dropped\": %.0f, \"load_min\": %.0f, \"load_mean\": %.1f, \"load_max\": "
		"%.0f, \"entropy\": %.4f, \"rank_load\": [",
		row->step, fsmoe_json_real(result->loss, loss, sizeof(loss)),
		fsmoe_json_real(row->lr, lr, sizeof(lr)),
		fsmoe_json_real(result->grad_norm, norm, sizeof(norm)), tokens_per_second(result),
		1e3 * result->seconds, result->tokens, load->routed, load->dropped, load->load_min,
		load->load_mean, load->load_max, load->entropy);
	for (int i = 0; i < load->ranks; i++)
		fprintf(metrics->file, "%s%.0f", i ? ", " : "", load->rank_load[i]);
	fputc(']', metrics->file);
	write_expert_load(metrics->file, row->step, load);
	if (row->mfu > 0)
		fprintf(metrics->file, ", \"mfu\": %.4f", row->mfu);
	fputs("}\n", metrics->file);
	return flush(metrics);
}

int fsmoe_metrics_write_val(struct fsmoe_metrics *metrics, int step,
			    const struct fsmoe_eval_result *result)
{
	char loss[32];

	errno = 0;
	fprintf(metrics->file,
		"{\"step\": %d, \"val_loss\": %s, \"val_tokens\": %zu, \"val_ms\": %.3f}\n", step,
		fsmoe_json_real(result->loss, loss, sizeof(loss)), result->tokens,
		1e3 * result->seconds);
	return flush(metrics);
}

const char *fsmoe_metrics_line(const struct fsmoe_metrics_row *row, int steps, char *buffer,
			       size_t size)
{
	const struct fsmoe_train_result *result = &row->result;
	const struct fsmoe_expert_load *load = &row->load;
	int n;

	n = snprintf(buffer, size,
		     "step %*d/%d  loss %.4f  lr %.3g  grad %.4g  %.0f tokens/s  %.1f ms",
		     snprintf(NULL, 0, "%d", steps), row->step, steps, result->loss, row->lr,
		     result->grad_norm, tokens_per_second(result), 1e3 * result->seconds);
	if (load->routed > 0 && n > 0 && (size_t)n < size)
		n += snprintf(buffer + n, size - (size_t)n,
			      "  dropped %.1f%%  load %.0f %.0f %.0f  even %.2f",
			      100 * load->dropped / load->routed, load->load_min, load->load_mean,
			      load->load_max, load->entropy);
	if (row->mfu > 0 && n > 0 && (size_t)n < size)
		snprintf(buffer + n, size - (size_t)n, "  MFU %.1f%%", 100 * row->mfu);
	return buffer;
}
