/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded: rank LATE_RANK (1) sleeps before about every fourth collective, up to 4 ms. Every
 * power of two from 2 us on is equally frequent, from the time of a kernel to a step of a small
 * model. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

static void late(void)
{
	static __thread unsigned state = 12345;
	const char *rank = getenv("OMPI_COMM_WORLD_RANK"), *who = getenv("LATE_RANK");
	long most;

	state = state * 1664525u + 1013904223u;
	if (atoi(rank ? rank : "0") != atoi(who ? who : "1") || state >> 30 != 0)
		return;
	most = 2000L << (state >> 22 & 255) % 12;
	nanosleep(&(struct timespec){.tv_nsec = most / 2 + (long)(state >> 8) % (most / 2)}, NULL);
}

int ncclGroupStart(void)
{
	int (*real)(void) = (int (*)(void))dlsym(RTLD_NEXT, "ncclGroupStart");

	late();
	return real();
}

int ncclAllGather(const void *send, void *recv, size_t n, int type, void *comm, void *stream)
{
	int (*real)(const void *, void *, size_t, int, void *, void *) =
		(int (*)(const void *, void *, size_t, int, void *, void *))dlsym(RTLD_NEXT,
										  "ncclAllGather");

	late();
	return real(send, recv, n, type, comm, stream);
}

typedef int (*sum_fn)(const void *, void *, size_t, int, int, void *, void *);

int ncclAllReduce(const void *send, void *recv, size_t n, int type, int op, void *comm,
		  void *stream)
{
	late();
	return ((sum_fn)dlsym(RTLD_NEXT, "ncclAllReduce"))(send, recv, n, type, op, comm, stream);
}

int ncclReduceScatter(const void *send, void *recv, size_t n, int type, int op, void *comm,
		      void *stream)
{
	late();
	return ((sum_fn)dlsym(RTLD_NEXT, "ncclReduceScatter"))(send, recv, n, type, op, comm,
							       stream);
}
