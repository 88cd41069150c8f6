/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_MEASURE_SAMPLES_H
#define FSMOE_MEASURE_SAMPLES_H

#include "comm/comm.h"

#include <fsmoe/profile.h>

/* Measured (size, seconds) by kind and lane; all zero is empty. */
struct fsmoe_series
{
	double *n, *seconds;
	int count, room;
};

struct fsmoe_samples
{
	struct fsmoe_series of[FSMOE_NKINDS][FSMOE_NLANES];
};

int fsmoe_samples_add(struct fsmoe_samples *samples, enum fsmoe_kind kind, enum fsmoe_lane lane,
		      double n, const double *seconds, int count);
void fsmoe_samples_free(struct fsmoe_samples *samples);

/*
 * Collective over the job: of `times` measurements of each of n tasks (task i's stand from
 * seconds[i * times] on) those of the rank whose median is longest take the place of this rank's.
 */
int fsmoe_samples_slowest(struct fsmoe_comm *world, double *seconds, int n, int times);

/* Sorts `value`. */
double fsmoe_median(double *value, int n);

#endif
