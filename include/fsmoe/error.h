/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_ERROR_H
#define FSMOE_ERROR_H

/*
 * The error convention of the whole library, stated once:
 *
 * - An int function returns 0, or a negative errno value; a pointer function returns NULL.
 * - The sentence that says what failed and what to try is kept for the calling thread:
 *   fsmoe_last_error().
 * - Out-parameters come last and are untouched on failure.
 * - The library never exits and never prints on success.
 * - Failures of asynchronous work come out at the matching wait.
 *
 * Exit codes of the program `fsmoe`:  0 success;  1 a run that failed;  2 a command line or a
 * configuration that is wrong;  3 data that cannot be read or is wrong;  4 the machine or the
 * layout of ranks does not fit;  5 another rank failed or stopped answering;  6 stopped in order by
 * SIGINT, SIGTERM or SIGUSR1.
 */

#ifdef __cplusplus
extern "C" {
#endif

#define FSMOE_EXIT_OK      0
#define FSMOE_EXIT_RUN     1
#define FSMOE_EXIT_USAGE   2
#define FSMOE_EXIT_DATA    3
#define FSMOE_EXIT_LAYOUT  4
#define FSMOE_EXIT_PEER    5
#define FSMOE_EXIT_STOPPED 6

/* The text of an error (negative errno); static, never NULL, any thread. */
const char *fsmoe_strerror(int err);

/* This thread's last failure as one sentence with a hint; valid until its next failing
 * call; the empty string when nothing failed yet. */
const char *fsmoe_last_error(void);

/* Sets this thread's sentence and returns -err (err positive: EINVAL, ...). For modules and
 * operations written outside the library as well. */
int fsmoe_fail(int err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#ifdef __cplusplus
}
#endif
#endif
