/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/trace_clock.h"

#include <errno.h>
#include <fcntl.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int64_t fsmoe_trace_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int fsmoe_trace_clock(struct fsmoe_comm *world, struct fsmoe_trace_clock *clock)
{
	enum
	{
		ROUNDS = 64
	};
	/* Of a rank: when it began this exchange and when it ended the one before. */
	struct stamps
	{
		int64_t begin, last_end;
	} own = {0}, all[world->size];
	int64_t low = INT64_MIN, high = INT64_MAX;

	for (int i = 0; i < ROUNDS; i++)
	{
		const int64_t last_begin = own.begin;
		int err;

		own.begin = fsmoe_trace_now();
		err = fsmoe_comm_allgather(world, &own, all, sizeof(own));
		if (err)
			return err;
		own.last_end = fsmoe_trace_now();
		/* This rank's begin came before rank 0's end, and the other way round. */
		if (i > 0 && last_begin - all[0].last_end > low)
			low = last_begin - all[0].last_end;
		if (own.last_end - all[0].begin < high)
			high = own.last_end - all[0].begin;
	}
	*clock = (struct fsmoe_trace_clock){low + (high - low) / 2, (high - low + 1) / 2};
	if (low <= 0 && high >= 0)
		*clock = (struct fsmoe_trace_clock){0, 0};
	return 0;
}

/* FxT's record of the mark: thread, time, CPU, code, then the arguments: rank, ranks, a key and
 * the thread; eight bytes each, at any address. */
struct mark
{
	int64_t thread, time, cpu;
	uint64_t code;
	int64_t rank, ranks;
};
#define MARK_CODE 0x5203u /* _STARPU_MPI_FUT_BARRIER */

static int move_mark(char *data, size_t size, const struct mark *wanted, int64_t after,
		     int64_t before)
{
	struct mark mark;
	int found = 0;

	for (size_t at = 0; at + sizeof(mark) <= size; at++)
	{
		memcpy(&mark, data + at, sizeof(mark));
		if (mark.rank != wanted->rank || mark.ranks != wanted->ranks ||
		    mark.code >> 8 != MARK_CODE || mark.time < after || mark.time > before)
			continue;
		mark.time = wanted->time;
		memcpy(data + at, &mark, sizeof(mark));
		found = 1;
	}
	return found;
}

int fsmoe_trace_move_mark(int dirfd, const char *name, int rank, int ranks, int64_t after,
			  int64_t before, int64_t when)
{
	const struct mark wanted = {.time = when, .rank = rank, .ranks = ranks};
	struct stat status;
	char *data;
	int fd = openat(dirfd, name, O_RDWR | O_CLOEXEC), found = 0;

	if (fd < 0)
		return 0;
	if (!fstat(fd, &status) && status.st_size > 0)
	{
		const size_t size = (size_t)status.st_size;

		data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (data != MAP_FAILED)
		{
			found = move_mark(data, size, &wanted, after, before);
			munmap(data, size);
		}
	}
	close(fd);
	return found;
}
