/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_PROFILE_H
#define FSMOE_PROFILE_H

#include <fsmoe/op.h>

/*
 * What tasks cost on a machine: one line t = alpha + beta * n per kind of task and lane, fitted to
 * measurements or written by hand. Seconds, bytes and flops; n is what the operation's `work` says.
 * doc/cost-model.md has the equations, doc/formats.md the file.
 *
 * A profile is not locked: one thread at a time.
 */

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fsmoe_profile *fsmoe_profile_t;

#define FSMOE_PROFILE_TEXT 160

struct fsmoe_fit
{
	double alpha;     /* seconds to start; 0 or more */
	double beta;      /* seconds a byte or flop; 0 or more */
	int samples;      /* measurements behind it; 0: from a paper, or by hand */
	int dropped;      /* outliers among them that the line does not follow */
	double low, high; /* the sizes that were measured */
	double r2;        /* of the medians of equal sizes; 0 without any */
	double residual;  /* median relative distance of all from the line */
	/* alpha and beta are so many times what the medians say: ranks that share cores take turns,
	 * which few tasks see, but those for long. 0 and 1: they do not. */
	double sharing;
	char source[FSMOE_PROFILE_TEXT]; /* where it comes from, one line */
};

/* The one way from a line to a time: whoever predicts calls this, so that predictions of equal
 * sizes are equal in every bit. */
static inline double fsmoe_line_seconds(double alpha, double beta, double n)
{
	return alpha + beta * n;
}

/* An empty profile. */
int fsmoe_profile_create(fsmoe_profile_t *profile);
void fsmoe_profile_destroy(fsmoe_profile_t profile); /* NULL is legal */

/* -ENOENT, -EACCES, ...; -EPROTO "PATH: fit 3: what is wrong with it". */
int fsmoe_profile_load(fsmoe_profile_t *profile, const char *path);
/* Replaces the file at once or not at all; what is loaded from it equals what was saved. */
int fsmoe_profile_save(fsmoe_profile_t profile, const char *path);

/* The machine that was measured, as fsmoe_topo_create reads it, and where the numbers come from;
 * "" when nobody said. NULL leaves one as it is. */
int fsmoe_profile_describe(fsmoe_profile_t profile, const char *machine, const char *source);
const char *fsmoe_profile_machine(fsmoe_profile_t profile);
const char *fsmoe_profile_source(fsmoe_profile_t profile);

/* How it was measured: a device and a dtype by the names of fsmoe_runtime_opts ("cuda", "bf16"); ""
 * when nobody said. A run of others takes other times. NULL leaves one as it is. */
int fsmoe_profile_set_arithmetic(fsmoe_profile_t profile, const char *device, const char *dtype);
const char *fsmoe_profile_device(fsmoe_profile_t profile);
const char *fsmoe_profile_dtype(fsmoe_profile_t profile);

/* Provenance, for people: what was measured with what and when, in lines of a key and a text. A
 * key that stands there is given the new text. -EINVAL: longer than a profile keeps, or too many
 * (16). at: line i = 0, 1, ... and its key until NULL. */
int fsmoe_profile_note(fsmoe_profile_t profile, const char *key, const char *text);
const char *fsmoe_profile_note_at(fsmoe_profile_t profile, int i, const char **key);

/* A line of a profile. Compute kinds stand under FSMOE_COMPUTE, communication under the lane of
 * the group. set: -EINVAL when the two do not go together or the numbers are none; get: -ENODATA,
 * with a sentence, when nothing was fitted. */
int fsmoe_profile_set(fsmoe_profile_t profile, enum fsmoe_kind kind, enum fsmoe_lane lane,
		      const struct fsmoe_fit *fit);
int fsmoe_profile_get(fsmoe_profile_t profile, enum fsmoe_kind kind, enum fsmoe_lane lane,
		      struct fsmoe_fit *fit);
/* *seconds of a task of that kind and size; -ENODATA as above. */
int fsmoe_profile_predict(fsmoe_profile_t profile, enum fsmoe_kind kind, enum fsmoe_lane lane,
			  double n, double *seconds);

/* What a step of this graph takes by these lines: fsmoe_graph_simulate with every node as long as
 * its line says, or without duration where it has no work. -ENODATA names a line that lacks. */
int fsmoe_profile_simulate(fsmoe_profile_t profile, fsmoe_graph_t graph,
			   struct fsmoe_timeline *timeline);

/*
 * Fits a line to `count` measurements: medians of equal sizes make a first line; measurements
 * further from it than five times the median distance are dropped and counted; least squares of
 * errors relative to the line over the medians of the rest. alpha and beta come out 0 rather than
 * negative. Any order of the measurements gives the same line. -EINVAL: fewer than two sizes, or one
 * that is no number.
 */
int fsmoe_fit_line(const double *n, const double *seconds, int count, struct fsmoe_fit *fit);

#ifdef __cplusplus
}
#endif
#endif
