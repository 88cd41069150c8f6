/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded: the GPU of rank LOST_RANK (1) is gone after LOST_AFTER (2000) recorded events: what a
 * step calls returns cudaErrorDevicesUnavailable from then on. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>

enum
{
	DEVICES_UNAVAILABLE = 46
};

static int recorded; /* of one thread, as good as */

static int lost(void)
{
	const char *rank = getenv("OMPI_COMM_WORLD_RANK"), *who = getenv("LOST_RANK");
	const char *after = getenv("LOST_AFTER");

	return atoi(rank ? rank : "1") == atoi(who ? who : "1") &&
	       recorded > atoi(after ? after : "2000");
}

#define GONE(name, parameters, arguments)                                                          \
	int name parameters                                                                        \
	{                                                                                          \
		return lost() ? DEVICES_UNAVAILABLE                                                \
			      : ((int(*) parameters)dlsym(RTLD_NEXT, #name))arguments;             \
	}

GONE(cudaStreamSynchronize, (void *stream), (stream))
GONE(cudaStreamWaitEvent, (void *stream, void *event, unsigned flags), (stream, event, flags))
GONE(cudaMemcpy, (void *to, const void *from, size_t n, int kind), (to, from, n, kind))
GONE(cudaMemcpyAsync, (void *to, const void *from, size_t n, int kind, void *stream),
     (to, from, n, kind, stream))
GONE(cudaMemsetAsync, (void *to, int value, size_t n, void *stream), (to, value, n, stream))
GONE(cudaEventQuery, (void *event), (event))

int cudaEventRecord(void *event, void *stream)
{
	recorded++;
	return lost() ? DEVICES_UNAVAILABLE
		      : ((int (*)(void *, void *))dlsym(RTLD_NEXT, "cudaEventRecord"))(event,
										       stream);
}
