/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_BASE_LOG_H
#define FSMOE_BASE_LOG_H

/*
 * What a person should read although nothing failed: one line each on stderr, with the rank in
 * front when there are several, and in a file besides when one was opened. A failure is not
 * logged by the library: it is returned (fsmoe/error.h).
 */
enum fsmoe_log_level
{
	FSMOE_LOG_ERROR,
	FSMOE_LOG_WARNING, /* the default: this and what is worse is shown */
	FSMOE_LOG_INFO,
	FSMOE_LOG_DEBUG,
};

/* Who speaks, and from which level on stderr gets it (a file gets INFO and worse whatever the
 * level). Call it before there are threads. */
void fsmoe_log_setup(int rank, int ranks, enum fsmoe_log_level level);
/* Starts a file of this process, emptied first unless `append` is set. -errno with a sentence when
 * it cannot be written. */
int fsmoe_log_open(const char *path, int append);
void fsmoe_log_close(void);

/* Any thread. A line is written whole. */
void fsmoe_log(enum fsmoe_log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
