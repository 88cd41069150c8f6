/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/gpu.h"

#include "base/clock.h"
#include "comm/device.h"
#include "runtime/ahead.h"
#include "runtime/device_internal.h"
#include "runtime/gpu_internal.h"
#include "runtime/runtime.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

static int choose_device(struct fsmoe_gpu *gpu, int host_rank, int host_size)
{
	int n = fsmoe_device_count();

	if (n == 0)
		return fsmoe_fail(ENODEV, "the device is 'cuda', but there is no GPU here, or no "
					  "driver for it: use the device 'cpu'");
	/* A launcher that shows every rank its own GPU has chosen already. */
	if (host_size > n && !getenv("CUDA_VISIBLE_DEVICES"))
		return fsmoe_fail(ENODEV,
				  "%d ranks on this host, but %d GPUs: start as many ranks as "
				  "there are GPUs, or use the device 'cpu'",
				  host_size, n);
	gpu->device = host_rank % n;
	return fsmoe_cuda_check(cudaSetDevice(gpu->device), "choosing the device");
}

/* Without sparsity, from the makers' data sheets, in TFLOP/s. */
static const struct peak
{
	const char *name;
	double fp32, tf32, bf16;
} peaks[] = {
	{"H200", 67, 494.7, 989.4}, {"H100 PCIe", 51, 378, 756}, {"H100 NVL", 60, 417.5, 835},
	{"H100", 67, 494.7, 989.4}, {"A100", 19.5, 156, 312},
};

static double find_peak(const struct fsmoe_gpu *gpu)
{
	struct cudaDeviceProp properties;

	if (cudaGetDeviceProperties(&properties, gpu->device) != cudaSuccess)
		return 0;
	for (size_t i = 0; i < sizeof(peaks) / sizeof(peaks[0]); i++)
		if (strstr(properties.name, peaks[i].name))
			return 1e12 * (gpu->real == FSMOE_BF16 ? peaks[i].bf16
				       : gpu->tf32             ? peaks[i].tf32
							       : peaks[i].fp32);
	return 0;
}

int fsmoe_gpu_create(struct fsmoe_gpu **gpu, int host_rank, int host_size, fsmoe_comms_t comms,
		     const struct fsmoe_runtime_opts *opts)
{
	struct fsmoe_gpu *g = calloc(1, sizeof(*g));
	int err;

	if (!g)
		return fsmoe_fail(ENOMEM, "no memory for the runtime");
	/* Streams that share a queue of the device would wait for each other. */
	setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);
	g->comms = comms;
	g->timing = opts->timing;
	g->tf32 = !strcmp(opts->dtype, "tf32");
	g->real = !strcmp(opts->dtype, "bf16") ? FSMOE_BF16 : FSMOE_F32;
	err = choose_device(g, host_rank, host_size);
	if (err)
	{
		free(g);
		return err;
	}
	g->peak = find_peak(g);
	*gpu = g;
	return 0;
}

int fsmoe_gpu_connect(struct fsmoe_gpu *gpu, const char *cta_policy)
{
	int err = fsmoe_cuda_check(cudaSetDevice(gpu->device), "choosing the device");

	return err ? err : fsmoe_device_comms_create(gpu->comms, cta_policy);
}

void fsmoe_gpu_destroy(struct fsmoe_gpu *gpu)
{
	if (!gpu)
		return;
	fsmoe_device_comms_destroy(gpu->comms);
	for (int l = 0; l < FSMOE_NLANES; l++)
		if (gpu->ended[l])
			cudaEventDestroy(gpu->ended[l]);
	fsmoe_lanes_free(&gpu->lanes);
	free(gpu);
}

int fsmoe_gpu_device(const struct fsmoe_gpu *gpu)
{
	return gpu->device;
}

double fsmoe_gpu_peak(const struct fsmoe_gpu *gpu)
{
	return gpu->peak;
}

struct fsmoe_stream_opts fsmoe_gpu_stream_opts(struct fsmoe_gpu *gpu)
{
	return (struct fsmoe_stream_opts){
		.timing = gpu->timing, .tf32 = gpu->tf32, .lanes = &gpu->lanes};
}

/* Three workers of the device, one host thread for them: a thread for each hangs on StarPU 1.3. Its
 * limits of memory mean nothing here: it allocates none on the device. */
void fsmoe_gpu_prepare_starpu(void)
{
	setenv("STARPU_NWORKER_PER_CUDA", "3", 1);
	setenv("STARPU_CUDA_THREAD_PER_WORKER", "0", 1);
	setenv("STARPU_CUDA_THREAD_PER_DEV", "1", 1);
}

static int find_workers(int worker[FSMOE_NLANES])
{
	int n = (int)starpu_worker_get_ids_by_type(STARPU_CUDA_WORKER, worker, FSMOE_NLANES);

	return n == FSMOE_NLANES
		       ? 0
		       : fsmoe_fail(ENODEV,
				    "StarPU gave %d workers of the GPU, fsmoe needs %d: unset "
				    "STARPU_NCUDA and STARPU_WORKERS_CUDAID",
				    n < 0 ? 0 : n, FSMOE_NLANES);
}

int fsmoe_gpu_lanes(struct fsmoe_gpu *gpu, int worker[FSMOE_NLANES])
{
	int err = worker ? find_workers(worker) : 0;

	if (!err)
		err = fsmoe_lanes_make(&gpu->lanes, gpu->tf32);
	for (int l = 0; l < FSMOE_NLANES && !err; l++)
		err = fsmoe_cuda_check(
			cudaEventCreateWithFlags(&gpu->ended[l], cudaEventDisableTiming),
			"making an event");
	gpu->lanes.real = gpu->real;
	return err;
}

int fsmoe_gpu_memory(size_t *left, size_t *all)
{
	return fsmoe_cuda_check(cudaMemGetInfo(left, all), "asking for free memory");
}

int fsmoe_gpu_fits(const struct fsmoe_gpu *gpu, size_t bytes)
{
	size_t left = 0, all = 0;
	int err = fsmoe_gpu_memory(&left, &all);

	if (err || bytes <= left)
		return err;
	return fsmoe_fail(ENOMEM,
			  "GPU %d has %zu MiB, of which %zu are left, and a tensor of %zu MiB does "
			  "not fit: a smaller batch or more ranks may help",
			  gpu->device, all >> 20, left >> 20, bytes >> 20);
}

int fsmoe_gpu_allocate(const struct fsmoe_gpu *gpu, size_t bytes, void **at)
{
	int err = fsmoe_gpu_fits(gpu, bytes);

	if (!err)
		err = fsmoe_cuda_check(cudaMalloc(at, bytes ? bytes : 1), "allocating a tensor");
	if (err)
		cudaGetLastError(); /* else the next launch would report it */
	return err;
}

void fsmoe_gpu_free(void *at)
{
	cudaFree(at);
}

int fsmoe_gpu_pin(void *data, size_t bytes)
{
	const cudaError_t result = cudaHostRegister(data, bytes, cudaHostRegisterPortable);

	cudaGetLastError(); /* else the next launch would report it */
	return result == cudaSuccess;
}

void fsmoe_gpu_unpin(void *data)
{
	cudaHostUnregister(data);
	cudaGetLastError();
}

/* --- times -------------------------------------------------------------------------------- */

static int make_marks(struct fsmoe_program *p)
{
	struct fsmoe_marks *m = p->marks = calloc(1, sizeof(*m));
	int err = 0;

	if (m)
	{
		m->begin = calloc((size_t)p->nnodes + 1, sizeof(*m->begin));
		m->end = calloc((size_t)p->nnodes + 1, sizeof(*m->end));
	}
	if (!m || !m->begin || !m->end)
		return fsmoe_fail(ENOMEM, "no memory for a program's events");
	err = fsmoe_cuda_check(cudaEventCreate(&m->zero), "making an event");
	for (int i = 0; i < p->nnodes && !err; i++)
	{
		if (!fsmoe_runtime_kernel(p->runtime, p->nodes[i].op))
			continue;
		err = fsmoe_cuda_check(cudaEventCreate(&m->begin[i]), "making an event");
		if (!err)
			err = fsmoe_cuda_check(cudaEventCreate(&m->end[i]), "making an event");
	}
	return err;
}

static void free_marks(struct fsmoe_program *p)
{
	struct fsmoe_marks *m = p->marks;

	if (!m)
		return;
	for (int i = 0; m->begin && m->end && i < p->nnodes; i++)
	{
		if (m->begin[i])
			cudaEventDestroy(m->begin[i]);
		if (m->end[i])
			cudaEventDestroy(m->end[i]);
	}
	if (m->zero)
		cudaEventDestroy(m->zero);
	free(m->begin);
	free(m->end);
	free(m);
	p->marks = NULL;
}

static int mark(struct fsmoe_gpu *gpu, struct fsmoe_program *p)
{
	if (!p->marks)
		return 0;
	p->marks->clock = fsmoe_clock();
	return fsmoe_cuda_check(
		cudaEventRecord(p->marks->zero, gpu->lanes.cuda[FSMOE_COMPUTE].stream),
		"recording an event");
}

/* Its edges to an earlier step are StarPU's alone, which may think that one ended. */
int fsmoe_gpu_begin(struct fsmoe_gpu *gpu, struct fsmoe_program *p)
{
	int err = 0;

	if (gpu->running)
		starpu_task_wait_for_all();
	if (gpu->running)
		err = fsmoe_gpu_finish(gpu);
	gpu->running = 1;
	return err ? err : mark(gpu, p);
}

int fsmoe_gpu_finish(struct fsmoe_gpu *gpu)
{
	gpu->running = 0;
	return fsmoe_cuda_check(cudaStreamSynchronize(gpu->lanes.cuda[FSMOE_COMPUTE].stream),
				"a step");
}

static int clock_of(const struct fsmoe_marks *m, cudaEvent_t event, double *clock)
{
	float ms = 0;
	int err = fsmoe_cuda_check(cudaEventElapsedTime(&ms, m->zero, event), "reading a time");

	*clock = m->clock + (double)ms / 1e3;
	return err;
}

int fsmoe_gpu_observe(struct fsmoe_program *p)
{
	const struct fsmoe_marks *m = p->marks;
	int err = 0;

	if (!m)
		return fsmoe_fail(EINVAL, "on a GPU nodes are timed only where the runtime was "
					  "started with 'timing'");
	for (int i = 0; i < p->nnodes && !err; i++)
	{
		if (!m->begin[i])
			continue;
		err = clock_of(m, m->begin[i], &p->start[i]);
		if (!err)
			err = clock_of(m, m->end[i], &p->end[i]);
	}
	return err;
}

int fsmoe_gpu_reserve(struct fsmoe_gpu *gpu, struct fsmoe_program *p)
{
	int err = gpu->timing ? make_marks(p) : 0;

	if (!err)
		err = fsmoe_fresh_find(&p->fresh, p->graph, gpu->real);
	if (!err)
		err = fsmoe_ahead_plan(p);
	starpu_task_wait_for_all(); /* another program may use the scratch memory */
	if (!err)
		err = fsmoe_gpu_finish(gpu);
	for (int i = 0; i < p->nnodes && !err; i++)
		err = fsmoe_lanes_reserve(&gpu->lanes, &p->nodes[i], p->tensors);
	return err;
}

void fsmoe_gpu_release(struct fsmoe_program *p)
{
	fsmoe_gpu_finish(p->runtime->gpu);
	free_marks(p);
	fsmoe_ahead_free(p);
	fsmoe_fresh_free(&p->fresh);
}

int fsmoe_gpu_fault(struct fsmoe_gpu *gpu, fsmoe_graph_t graph)
{
	return fsmoe_lanes_fault(&gpu->lanes, graph);
}
