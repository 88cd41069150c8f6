/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRAIN_METRICS_H
#define FSMOE_TRAIN_METRICS_H

#include "train/expert_load.h"
#include "train/eval.h"

#include <stddef.h>

/* Metrics of a run: a file with one JSON object per step, flushed at once, so that a run that ends
 * early has left it; and a line for people. For rank 0. */
struct fsmoe_metrics;

struct fsmoe_metrics_row
{
	int step; /* from 1 */
	double lr;
	struct fsmoe_train_result result;
	struct fsmoe_expert_load load; /* all 0: no experts */
	double mfu; /* share of the GPUs' peak of matrix products, 0 .. 1; 0: unknown */
};

/* Opens the file, which is emptied unless `append`. */
int fsmoe_metrics_open(struct fsmoe_metrics **metrics, const char *path, int append);
/* Fails if the last bytes could not be written; NULL is legal. */
int fsmoe_metrics_close(struct fsmoe_metrics *metrics);

/* Writes a step; NaN and infinities become null. -EIO, -ENOSPC, ... */
int fsmoe_metrics_write(struct fsmoe_metrics *metrics, const struct fsmoe_metrics_row *row);
/* Writes {"step": 200, "val_loss": ...}. */
int fsmoe_metrics_write_val(struct fsmoe_metrics *metrics, int step,
			    const struct fsmoe_eval_result *result);

/* Writes "step  12/100  loss 5.4321  lr 0.001  grad 1.23  4567 tokens/s  89.0 ms", with experts
 * "  dropped 1.2%  load 10 32 57  even 0.94" (fewest, mean and most tokens of an expert, entropy of
 * the shares), with GPUs "  MFU 31.4%". Returns buffer. */
const char *fsmoe_metrics_line(const struct fsmoe_metrics_row *row, int steps, char *buffer,
			       size_t size);

#endif
