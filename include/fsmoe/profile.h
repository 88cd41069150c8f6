/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_PROFILE_H
#define FSMOE_PROFILE_H

#include <fsmoe/op.h>

/*
 * A profile holds the costs of tasks on a machine: one line t = alpha + beta * n per kind of task
 * and lane, fitted to measurements or written by hand. Units are seconds, bytes and flops; n comes
 * from the operation's `work`. doc/cost-model.md has the equations, doc/formats.md the file format.
 *
 * A profile is not locked: one thread uses it at a time. No function here is collective.
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
	/* The factor by which alpha and beta exceed the medians. Ranks that share cores take turns:
	 * few tasks wait, but those wait long. 0 and 1: cores are not shared. */
	double sharing;
	char source[FSMOE_PROFILE_TEXT]; /* where it comes from, one line */
};

/* Computes the seconds of a task of size n. Every prediction calls this, so that those of equal
 * sizes are equal in every bit. */
static inline double fsmoe_line_seconds(double alpha, double beta, double n)
{
	return alpha + beta * n;
}

/* Creates an empty profile. -ENOMEM. */
int fsmoe_profile_create(fsmoe_profile_t *profile);
void fsmoe_profile_destroy(fsmoe_profile_t profile); /* NULL is legal */

/* Reads a profile, which the caller destroys. -ENOENT, -EACCES, ...: the file cannot be read;
 * -EPROTO: it is no profile, and the sentence names the line. */
int fsmoe_profile_load(fsmoe_profile_t *profile, const char *path);
/* Writes a profile to a file, which is replaced at once or not at all. Loading it again gives an
 * equal profile. */
int fsmoe_profile_save(fsmoe_profile_t profile, const char *path);

/* Sets the machine that was measured, as fsmoe_topo_create reads it, and the source of the numbers.
 * NULL keeps the old text. The getters return "" if none was set. */
int fsmoe_profile_describe(fsmoe_profile_t profile, const char *machine, const char *source);
const char *fsmoe_profile_machine(fsmoe_profile_t profile);
const char *fsmoe_profile_source(fsmoe_profile_t profile);

/* Sets the device and dtype of the measurement, by the names of fsmoe_runtime_opts ("cuda",
 * "bf16"): a run with others takes other times. NULL keeps the old name. The getters return "" if
 * none was set. */
int fsmoe_profile_set_arithmetic(fsmoe_profile_t profile, const char *device, const char *dtype);
const char *fsmoe_profile_device(fsmoe_profile_t profile);
const char *fsmoe_profile_dtype(fsmoe_profile_t profile);

/* Adds a note for people, such as the date of the measurement, or replaces the note of that key.
 * -EINVAL: the text is too long, or there are 16 notes. fsmoe_profile_note_at returns note i = 0,
 * 1, ... and its key until NULL. */
int fsmoe_profile_note(fsmoe_profile_t profile, const char *key, const char *text);
const char *fsmoe_profile_note_at(fsmoe_profile_t profile, int i, const char **key);

/* Sets or gets a line of a profile. Compute kinds have the lane FSMOE_COMPUTE, communication the
 * lane of its group. set: -EINVAL if kind and lane do not match or a number is not valid. get:
 * -ENODATA if the profile has no such line. */
int fsmoe_profile_set(fsmoe_profile_t profile, enum fsmoe_kind kind, enum fsmoe_lane lane,
		      const struct fsmoe_fit *fit);
int fsmoe_profile_get(fsmoe_profile_t profile, enum fsmoe_kind kind, enum fsmoe_lane lane,
		      struct fsmoe_fit *fit);
/* Predicts the seconds of a task of that kind and size. -ENODATA as fsmoe_profile_get. */
int fsmoe_profile_predict(fsmoe_profile_t profile, enum fsmoe_kind kind, enum fsmoe_lane lane,
			  double n, double *seconds);

/* Simulates a step of this graph by fsmoe_graph_simulate: every node takes the time of its line, a
 * node without work takes none. The caller destroys the timeline. -ENODATA names the missing
 * line. */
int fsmoe_profile_simulate(fsmoe_profile_t profile, fsmoe_graph_t graph,
			   struct fsmoe_timeline *timeline);

/*
 * Fits a line to `count` measurements. A first line goes through the medians of equal sizes.
 * Measurements further from it than five times the median distance are dropped and counted. Least
 * squares of errors relative to the line, over the medians of the rest, give the result. alpha and
 * beta are never negative. The order of the measurements does not matter. -EINVAL: fewer than two
 * sizes, or one that is no number.
 */
int fsmoe_fit_line(const double *n, const double *seconds, int count, struct fsmoe_fit *fit);

#ifdef __cplusplus
}
#endif
#endif
