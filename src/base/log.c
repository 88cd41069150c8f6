/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static struct
{
	int rank, ranks;
	enum fsmoe_log_level level;
	FILE *file;
	pthread_mutex_t mutex; /* of the file: lines of two threads must not mix */
} sink = {.ranks = 1, .level = FSMOE_LOG_WARNING, .mutex = PTHREAD_MUTEX_INITIALIZER};

void fsmoe_log_setup(int rank, int ranks, enum fsmoe_log_level level)
{
	sink.rank = rank;
	sink.ranks = ranks;
	sink.level = level;
}

int fsmoe_log_open(const char *path, int append)
{
	FILE *file = fopen(path, append ? "ae" : "we");

	if (!file)
		return fsmoe_fail(errno, "cannot write the log %s: %s", path, strerror(errno));
	fsmoe_log_close();
	sink.file = file;
	return 0;
}

void fsmoe_log_close(void)
{
	if (sink.file)
		fclose(sink.file);
	sink.file = NULL;
}

static void write_file(const char *name, const char *text)
{
	char stamp[32];
	struct tm local;
	time_t now = time(NULL);

	strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", localtime_r(&now, &local));
	pthread_mutex_lock(&sink.mutex);
	fprintf(sink.file, "%s  %s%s\n", stamp, name, text);
	fflush(sink.file);
	pthread_mutex_unlock(&sink.mutex);
}

void fsmoe_log(enum fsmoe_log_level level, const char *format, ...)
{
	static const char *const names[] = {"error: ", "warning: ", "", "debug: "};
	char text[1024];
	va_list args;

	if (level > sink.level && (!sink.file || level > FSMOE_LOG_INFO))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (level <= sink.level)
	{
		/* One call, one write: stderr is not buffered, but ranks share it. */
		if (sink.ranks > 1)
			fprintf(stderr, "fsmoe[%d]: %s%s\n", sink.rank, names[level], text);
		else
			fprintf(stderr, "fsmoe: %s%s\n", names[level], text);
	}
	if (sink.file && level <= FSMOE_LOG_INFO)
		write_file(names[level], text);
}
