/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slow file system, for a program that is started with this library in LD_PRELOAD: what a process
 * writes by pwrite takes as long as on a disk of SLOW_DISK bytes a second.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void take_time(size_t bytes)
{
	const char *rate = getenv("SLOW_DISK");
	const double seconds = rate && atof(rate) > 0 ? (double)bytes / atof(rate) : 0;
	struct timespec left = {.tv_sec = (time_t)seconds,
				.tv_nsec = (long)(1e9 * (seconds - (double)(time_t)seconds))};

	/* A signal does not make a disk faster. */
	while (nanosleep(&left, &left))
		;
}

static ssize_t slowly(const char *name, int fd, const void *data, size_t bytes, off_t at)
{
	ssize_t (*real)(int, const void *, size_t, off_t);

	*(void **)&real = dlsym(RTLD_NEXT, name);
	take_time(bytes);
	return real(fd, data, bytes, at);
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at)
{
	return slowly("pwrite", fd, data, bytes, at);
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off_t at)
{
	return slowly("pwrite64", fd, data, bytes, at);
}
