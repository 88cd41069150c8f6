/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_DRIFT_H
#define FSMOE_DRIFT_H

#include <fsmoe/profile.h>

/*
 * The profile while training goes on: every task's measured duration enters here, and where the
 * machine no longer does what the profile in use says, all ranks find out together.
 *
 * Of every kind, lane and size the latest durations are kept, FSMOE_DRIFT_WINDOW of them, of
 * FSMOE_DRIFT_SIZES sizes a line: memory is bounded, and medians forget what is old. One thread at
 * a time.
 */

#ifdef __cplusplus
extern "C" {
#endif

#define FSMOE_DRIFT_WINDOW 32
#define FSMOE_DRIFT_SIZES  64

typedef struct fsmoe_drift *fsmoe_drift_t;

/* The profile is copied. bound: 0.25 means that a line has drifted when its tasks take more than
 * 1.25 times what it says, or less than 1 / 1.25. -EINVAL: not above 0. */
int fsmoe_drift_create(fsmoe_drift_t *drift, fsmoe_profile_t profile, double bound);
void fsmoe_drift_destroy(fsmoe_drift_t drift); /* NULL is legal */
/* A task of that kind and size took so long. Sizes beyond FSMOE_DRIFT_SIZES count with the nearest
 * one. What the profile has no line for is not watched. */
int fsmoe_drift_add(fsmoe_drift_t drift, enum fsmoe_kind kind, enum fsmoe_lane lane, double n,
		    double seconds);
/* Another profile is in use from now on (copied). What comes from now on tells whether it holds;
 * for laying its lines anew also what was measured before counts, of sizes that another plan
 * had. */
void fsmoe_drift_follow(fsmoe_drift_t drift, fsmoe_profile_t profile);
/* Forgets all durations. */
void fsmoe_drift_clear(fsmoe_drift_t drift);

/* What one rank has seen of one size: plain data, to be sent to the others. */
struct fsmoe_drift_cell
{
	int kind, lane;
	double n, seconds; /* size; median */
	double samples;    /* all that were added under the profile in use, also those forgotten */
};

/* The cells with FSMOE_DRIFT_LEAST durations and more. *n is room in, how many there are out; cells
 * may be NULL to ask. */
#define FSMOE_DRIFT_LEAST 5
void fsmoe_drift_cells(fsmoe_drift_t drift, struct fsmoe_drift_cell *cells, int *n);

struct fsmoe_drift_result
{
	int drifted;          /* lines beyond the bound */
	enum fsmoe_kind kind; /* of those the one with most time */
	enum fsmoe_lane lane;
	double ratio;       /* measured over predicted, of that one */
	char sentence[160]; /* says it; "" where nothing drifted */
};

/*
 * Decides from the cells of all ranks, in any order: of equal sizes the slowest rank counts for
 * computation, the fastest for communication, where slower ones waited for others. Equal cells give
 * equal results: nothing depends on what this rank saw itself. A line that stands for less than 2 %
 * of the time, as measured and as predicted, is never why. *fresh (may be NULL): a profile with the
 * drifted lines laid anew, through the cells where there are three sizes over a factor of four,
 * else the old line times the ratio; NULL where nothing drifted. The caller destroys it.
 */
int fsmoe_drift_decide(fsmoe_drift_t drift, const struct fsmoe_drift_cell *cells, int n,
		       struct fsmoe_drift_result *result, fsmoe_profile_t *fresh);

#ifdef __cplusplus
}
#endif
#endif
