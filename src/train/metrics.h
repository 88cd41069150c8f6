/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRAIN_METRICS_H
#define FSMOE_TRAIN_METRICS_H

#include "train/expert_load.h"
#include "train/eval.h"

#include <stddef.h>

/*
 * What a run tells of itself: a file with one JSON object a step, each written out at once, so
 * that a run that ends early has left what it did; and the line for people. For rank 0.
 */
struct fsmoe_metrics;

struct fsmoe_metrics_row
{
	int step; /* from 1 */
	double lr;
	struct fsmoe_train_result result;
	struct fsmoe_expert_load load; /* all 0: there are no experts */
	double mfu; /* of the peak of the GPUs' matrix products, 0 .. 1; 0: unknown */
};

/* The file is emptied first, unless a run goes on. -errno with a sentence. */
int fsmoe_metrics_open(struct fsmoe_metrics **metrics, const char *path, int append);
/* -errno with a sentence when the last bytes could not be written; NULL is legal. */
int fsmoe_metrics_close(struct fsmoe_metrics *metrics);

/* NaN and infinities become null. -EIO, -ENOSPC, ... with a sentence. */
int fsmoe_metrics_write(struct fsmoe_metrics *metrics, const struct fsmoe_metrics_row *row);
/* An object of its own: {"step": 200, "val_loss": ...}. */
int fsmoe_metrics_write_val(struct fsmoe_metrics *metrics, int step,
			    const struct fsmoe_eval_result *result);

/* "step  12/100  loss 5.4321  lr 0.001  grad 1.23  4567 tokens/s  89.0 ms", and with experts
 * "  dropped 1.2%  load 10 32 57  even 0.94": fewest, mean and most tokens of one, and the entropy
 * of their shares; with GPUs "  MFU 31.4%". Returns buffer. */
const char *fsmoe_metrics_line(const struct fsmoe_metrics_row *row, int steps, char *buffer,
			       size_t size);

#endif
