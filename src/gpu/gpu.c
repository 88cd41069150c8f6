/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "comm/nccl.h"
#include "gpu/device_internal.h"
#include "gpu/early_release.h"
#include "gpu/gpu_internal.h"
#include "runtime/runtime_internal.h"

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

static int create_gpu(struct fsmoe_gpu **gpu, int host_rank, int host_size, fsmoe_comms_t comms,
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
	g->early_release = opts->early_release;
	g->windows = !strcmp(opts->cta_policy, "zero");
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

static int connect_gpu(struct fsmoe_gpu *gpu, const char *cta_policy)
{
	int err = fsmoe_cuda_check(cudaSetDevice(gpu->device), "choosing the device");

	return err ? err : fsmoe_nccl_comms_create(gpu->comms, cta_policy);
}

static void destroy_gpu(struct fsmoe_gpu *gpu)
{
	fsmoe_nccl_comms_destroy(gpu->comms);
	for (int l = 0; l < FSMOE_NLANES; l++)
		if (gpu->ended[l])
			cudaEventDestroy(gpu->ended[l]);
	fsmoe_lanes_free(&gpu->lanes);
	free(gpu);
}

static int gpu_device(const struct fsmoe_gpu *gpu)
{
	return gpu->device;
}

static double gpu_peak(const struct fsmoe_gpu *gpu)
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
static void prepare_starpu(void)
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

static int make_lanes(struct fsmoe_gpu *gpu, int worker[FSMOE_NLANES])
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

static int free_memory(size_t *left, size_t *all)
{
	return fsmoe_cuda_check(cudaMemGetInfo(left, all), "asking for free memory");
}

int fsmoe_gpu_fits(const struct fsmoe_gpu *gpu, size_t bytes)
{
	size_t left = 0, all = 0;
	int err = free_memory(&left, &all);

	if (err || bytes <= left)
		return err;
	return fsmoe_fail(ENOMEM,
			  "GPU %d has %zu MiB, of which %zu are left, and a tensor of %zu MiB does "
			  "not fit: a smaller batch or more ranks may help",
			  gpu->device, all >> 20, left >> 20, bytes >> 20);
}

static int allocate_device(const struct fsmoe_gpu *gpu, size_t bytes, void **at)
{
	int err = fsmoe_gpu_fits(gpu, bytes);

	if (!err)
		err = fsmoe_cuda_check(cudaMalloc(at, bytes ? bytes : 1), "allocating a tensor");
	if (err)
		cudaGetLastError(); /* else the next launch would report it */
	return err;
}

static void free_device(void *at)
{
	cudaFree(at);
}

static int pin_host(void *data, size_t bytes)
{
	const cudaError_t result = cudaHostRegister(data, bytes, cudaHostRegisterPortable);

	cudaGetLastError(); /* else the next launch would report it */
	return result == cudaSuccess;
}

static void unpin_host(void *data)
{
	cudaHostUnregister(data);
	cudaGetLastError();
}

/* --- programs and times ---------------------------------------------------------------- */

int fsmoe_gpu_program_make(struct fsmoe_program *p)
{
	p->gpu = calloc(1, sizeof(*p->gpu));
	return p->gpu ? 0 : fsmoe_fail(ENOMEM, "no memory for a program on the GPU");
}

void fsmoe_gpu_program_free(struct fsmoe_program *p)
{
	free(p->gpu);
	p->gpu = NULL;
}

static int make_marks(struct fsmoe_program *p)
{
	struct fsmoe_marks *m = p->gpu->marks = calloc(1, sizeof(*m));
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
	struct fsmoe_marks *m = p->gpu->marks;

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
	p->gpu->marks = NULL;
}

static int mark(struct fsmoe_gpu *gpu, struct fsmoe_program *p)
{
	if (!p->gpu->marks)
		return 0;
	p->gpu->marks->clock = fsmoe_clock();
	return fsmoe_cuda_check(
		cudaEventRecord(p->gpu->marks->zero, gpu->lanes.cuda[FSMOE_COMPUTE].stream),
		"recording an event");
}

static int finish_step(struct fsmoe_gpu *gpu)
{
	gpu->running = 0;
	return fsmoe_cuda_check(cudaStreamSynchronize(gpu->lanes.cuda[FSMOE_COMPUTE].stream),
				"a step");
}

/* Its edges to an earlier step are StarPU's alone, which may think that one ended. */
static int begin_step(struct fsmoe_gpu *gpu, struct fsmoe_program *p)
{
	int err = 0;

	if (gpu->running)
		starpu_task_wait_for_all();
	if (gpu->running)
		err = finish_step(gpu);
	gpu->running = 1;
	return err ? err : mark(gpu, p);
}

static int clock_of(const struct fsmoe_marks *m, cudaEvent_t event, double *clock)
{
	float ms = 0;
	int err = fsmoe_cuda_check(cudaEventElapsedTime(&ms, m->zero, event), "reading a time");

	*clock = m->clock + (double)ms / 1e3;
	return err;
}

static int observe_step(struct fsmoe_program *p)
{
	const struct fsmoe_marks *m = p->gpu->marks;
	int err = 0;

	if (!m)
		return fsmoe_fail(EINVAL, "on a GPU nodes are timed only where the runtime was "
					  "started with 'timing'");
	for (int i = 0; i < p->nnodes && !err; i++)
	{
		if (!m->begin[i])
			continue;
		err = clock_of(m, m->begin[i], &p->times.start[i]);
		if (!err)
			err = clock_of(m, m->end[i], &p->times.end[i]);
	}
	return err;
}

static int reserve_program(struct fsmoe_gpu *gpu, struct fsmoe_program *p)
{
	int err = fsmoe_gpu_program_make(p);

	if (!err && gpu->timing)
		err = make_marks(p);
	if (!err)
		err = fsmoe_fresh_find(&p->gpu->fresh, p->graph, gpu->real);
	if (!err)
		err = fsmoe_early_release_plan(p);
	starpu_task_wait_for_all(); /* another program may use the scratch memory */
	if (!err)
		err = finish_step(gpu);
	for (int i = 0; i < p->nnodes && !err; i++)
		err = fsmoe_lanes_reserve(&gpu->lanes, &p->nodes[i], p->tensors);
	return err;
}

static void release_program(struct fsmoe_program *p)
{
	finish_step(p->runtime->gpu);
	if (!p->gpu)
		return;
	free_marks(p);
	fsmoe_early_release_free(p);
	fsmoe_fresh_free(&p->gpu->fresh);
	fsmoe_gpu_program_free(p);
}

static int find_fault(struct fsmoe_gpu *gpu, fsmoe_graph_t graph)
{
	return fsmoe_lanes_fault(&gpu->lanes, graph);
}

const struct fsmoe_gpu_ops fsmoe_gpu_cuda = {
	.create = create_gpu,
	.connect = connect_gpu,
	.destroy = destroy_gpu,
	.device = gpu_device,
	.peak = gpu_peak,
	.prepare_starpu = prepare_starpu,
	.make_lanes = make_lanes,
	.stream_executor = &fsmoe_executor_stream,
	.memory = free_memory,
	.allocate = allocate_device,
	.free = free_device,
	.pin = pin_host,
	.unpin = unpin_host,
	.write = fsmoe_gpu_write,
	.read = fsmoe_gpu_read,
	.copy_bf16 = fsmoe_gpu_copy_bf16,
	.make_copy = fsmoe_gpu_make_copy,
	.write_copy = fsmoe_gpu_write_copy,
	.find_homes = fsmoe_gpu_find_homes,
	.keep_window = fsmoe_gpu_keep_window,
	.release_window = fsmoe_gpu_release_window,
	.reserve = reserve_program,
	.release = release_program,
	.begin = begin_step,
	.finish = finish_step,
	.observe = observe_step,
	.run = fsmoe_gpu_run,
	.done = fsmoe_gpu_done,
	.held = fsmoe_gpu_held,
	.fault = find_fault,
};
