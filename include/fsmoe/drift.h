/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_DRIFT_H
#define FSMOE_DRIFT_H

#include <fsmoe/profile.h>

/*
 * Drift compares the measured durations of tasks with the profile in use while training goes on.
 * All ranks decide together whether the machine still follows the profile.
 *
 * It keeps the latest FSMOE_DRIFT_WINDOW durations of every kind, lane and size, and
 * FSMOE_DRIFT_SIZES sizes a line, so memory is bounded and medians forget old durations. One thread
 * uses it at a time. No function here is collective.
 */

#ifdef __cplusplus
extern "C" {
#endif

#define FSMOE_DRIFT_WINDOW 32
#define FSMOE_DRIFT_SIZES  64

typedef struct fsmoe_drift *fsmoe_drift_t;

/* Creates an empty record for a profile, which is copied. With a bound of 0.25 a line has drifted
 * when its tasks take more than 1.25 times its prediction, or less than 1 / 1.25. -EINVAL: the
 * bound is not above 0. */
int fsmoe_drift_create(fsmoe_drift_t *drift, fsmoe_profile_t profile, double bound);
/* Frees the record. NULL is legal. */
void fsmoe_drift_destroy(fsmoe_drift_t drift);
/* Adds the duration of a task. Sizes beyond FSMOE_DRIFT_SIZES count with the nearest one. Tasks
 * without a line in the profile are ignored. */
int fsmoe_drift_add(fsmoe_drift_t drift, enum fsmoe_kind kind, enum fsmoe_lane lane, double n,
		    double seconds);
/* Replaces the profile in use by a copy of this one. Only later durations decide whether it has
 * drifted. Lines are fitted anew with earlier durations too, of sizes that another plan had. */
void fsmoe_drift_follow(fsmoe_drift_t drift, fsmoe_profile_t profile);
/* Forgets all durations. */
void fsmoe_drift_clear(fsmoe_drift_t drift);

/* The durations of one size on one rank: plain data, to be sent to the other ranks. */
struct fsmoe_drift_cell
{
	int kind, lane;
	double n, seconds; /* size; median */
	double samples;    /* all that were added under the profile in use, also those forgotten */
};

/* Lists the cells with at least FSMOE_DRIFT_LEAST durations. *n is the capacity of cells on entry
 * and the number of cells on return; cells may be NULL to ask for that number. */
#define FSMOE_DRIFT_LEAST 5
void fsmoe_drift_cells(fsmoe_drift_t drift, struct fsmoe_drift_cell *cells, int *n);

struct fsmoe_drift_result
{
	int drifted;          /* lines beyond the bound */
	enum fsmoe_kind kind; /* the drifted line with most time */
	enum fsmoe_lane lane;
	double ratio;       /* measured over predicted, of that one */
	char sentence[160]; /* for people; "" if nothing drifted */
};

/*
 * Decides from the cells of all ranks, in any order, whether lines have drifted. Among equal sizes
 * the slowest rank counts for computation and the fastest for communication, where the others
 * waited. Equal cells give equal results on every rank. A line with less than 2 % of the time, as
 * measured and as predicted, never drifts. *fresh (may be NULL) becomes a profile with the drifted
 * lines fitted anew: through the cells if they have three sizes over a factor of four, otherwise
 * the old line times the ratio. It is NULL if nothing drifted. The caller destroys it.
 */
int fsmoe_drift_decide(fsmoe_drift_t drift, const struct fsmoe_drift_cell *cells, int n,
		       struct fsmoe_drift_result *result, fsmoe_profile_t *fresh);

#ifdef __cplusplus
}
#endif
#endif
