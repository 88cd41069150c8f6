/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/trace_mark.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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
