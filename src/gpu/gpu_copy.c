/* SPDX-License-Identifier: Apache-2.0 */
#include "base/parallel.h"
#include "codelets/cuda/round.h"
#include "runtime/bf16.h"
#include "gpu/gpu_internal.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Between a host and a GPU, which may have in bf16 what the host has in float; not in a step. */

/* The lanes' streams do not wait for the default one, which a copy from pageable memory may leave
 * while the last of it is still on its way. */
static int finish(void)
{
	return fsmoe_cuda_check(cudaStreamSynchronize(NULL), "copying a tensor to the GPU");
}

struct words
{
	const uint32_t *word;
	atomic_int other; /* than zero */
};

static void look(void *arg, size_t lo, size_t hi)
{
	struct words *w = arg;

	while (lo < hi && !w->other)
	{
		const size_t end = hi - lo > 1024 ? lo + 1024 : hi;
		uint32_t any = 0;

		for (; lo < end; lo++)
			any |= w->word[lo];
		if (any)
			w->other = 1;
	}
}

int fsmoe_gpu_write(void *device, const void *from, size_t bytes)
{
	const size_t most = (size_t)64 << 20;
	int err = 0;

	for (size_t at = 0; at < bytes && !err; at += most)
	{
		const size_t n = bytes - at < most ? bytes - at : most;
		char *to = (char *)device + at;
		struct words w = {.word = (const void *)((const char *)from + at)};

		fsmoe_parallel(n / sizeof(*w.word), 1 << 18, look, &w);
		err = fsmoe_cuda_check(w.other ? cudaMemcpy(to, w.word, n, cudaMemcpyHostToDevice)
					       : cudaMemset(to, 0, n),
				       "copying a tensor to the GPU");
	}
	return err ? err : finish();
}

int fsmoe_gpu_read(const void *device, void *to, size_t bytes)
{
	return fsmoe_cuda_check(cudaMemcpy(to, device, bytes, cudaMemcpyDeviceToHost),
				"copying a tensor to the host");
}

int fsmoe_gpu_copy_bf16(void *device, float *to, const float *from, size_t n)
{
	uint16_t *narrow = malloc(n * sizeof(*narrow) + 1);
	int err;

	if (!narrow)
		return fsmoe_fail(ENOMEM, "no memory to copy a tensor");
	if (from)
		fsmoe_bf16_round(from, narrow, n);
	err = fsmoe_cuda_check(cudaMemcpy(from ? device : (void *)narrow,
					  from ? (void *)narrow : device, n * sizeof(*narrow),
					  cudaMemcpyDefault),
			       "copying a tensor");
	if (from && !err)
		err = finish();
	if (to && !err)
		fsmoe_bf16_widen(narrow, to, n);
	free(narrow);
	return err;
}

int fsmoe_gpu_write_copy(const float *param, size_t n, void *copy)
{
	int err = fsmoe_cuda_round(param, copy, n, NULL);

	return err ? err : finish();
}

int fsmoe_gpu_make_copy(const float *param, size_t n, void **copy)
{
	void *made = NULL;
	int err = fsmoe_cuda_check(cudaMalloc(&made, n ? n * sizeof(uint16_t) : 1),
				   "allocating the bf16 copy of a parameter");

	if (!err)
		err = fsmoe_gpu_write_copy(param, n, made);
	if (err)
		cudaFree(made);
	else
		*copy = made;
	return err;
}
