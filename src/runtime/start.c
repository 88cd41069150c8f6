/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/chunks.h"
#include "runtime/gpu_ops.h"
#include "runtime/introspect.h"
#include "runtime/policy.h"
#include "runtime/runtime_internal.h"
#include "runtime/version.h"
#include "topo/topo.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <limits.h>
#include <starpu_expert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A rank's CPU workers: one computes, one communicates inside the node, one between nodes. */
enum
{
	WORKERS = FSMOE_NLANES
};

static double from_environment(const char *name, double otherwise)
{
	const char *text = getenv(name);
	char *end;
	double value = text ? strtod(text, &end) : 0;

	return text && end != text && *end == '\0' && value >= 0 ? value : otherwise;
}

void fsmoe_runtime_opts_init(struct fsmoe_runtime_opts *opts)
{
	*opts = (struct fsmoe_runtime_opts){
		.size = sizeof(*opts),
		.blas_threads = (int)from_environment("FSMOE_BLAS_THREADS", 0),
		.bind = (int)from_environment("FSMOE_BIND", 1),
		.timeout = from_environment("FSMOE_TIMEOUT", 120),
		.catch_term = 1,
		.device = "cpu",
		.executor = "starpu",
		.dtype = "fp32",
		.cta_policy = "default",
		.fuse = -1,
		.early_release = 1,
	};
}

const char *fsmoe_starpu_version(void)
{
	static char text[32];
	int version[3];

	starpu_get_version(&version[0], &version[1], &version[2]);
	snprintf(text, sizeof(text), "%d.%d.%d", version[0], version[1], version[2]);
	return text;
}

/* For StarPU's own policies: idle workers would spin. */
static unsigned nap(void *arg)
{
	(void)arg;
	nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
	return 1;
}

/* The name of the StarPU policy that is asked for; NULL: fsmoe's own policy. */
static const char *scheduler_of(const struct fsmoe_runtime_opts *opts)
{
	const char *name = opts->starpu_sched ? opts->starpu_sched : getenv("STARPU_SCHED");

	return name && strcmp(name, "fsmoe") ? name : NULL;
}

/* StarPU itself only warns of a policy that it does not have, and takes another. */
static int check_scheduler(const struct fsmoe_runtime_opts *opts)
{
	struct starpu_sched_policy **policy;
	const char *name = scheduler_of(opts);
	char known[512] = "fsmoe";

	if (!name)
		return 0;
	for (policy = starpu_sched_get_predefined_policies(); *policy; policy++)
	{
		if (!strcmp((*policy)->policy_name, name))
			return 0;
		/* The list is for a sentence: without the two dozen built from components. */
		if (strncmp((*policy)->policy_name, "modular-", 8) != 0)
			snprintf(known + strlen(known), sizeof(known) - strlen(known), ", %s",
				 (*policy)->policy_name);
	}
	return fsmoe_fail(EINVAL, "no scheduling policy '%s': there are %s", name, known);
}

/* StarPU's own policies poll where a core is there for it. */
static int register_idle_hook(fsmoe_runtime_t rt)
{
	if (rt->starpu.own_policy)
		return starpu_idle_hook_register(fsmoe_policy_idle, &rt->starpu.polls);
	return rt->starpu.polls ? -1 : starpu_idle_hook_register(nap, NULL);
}

static int start_starpu(fsmoe_runtime_t rt, const struct fsmoe_runtime_opts *opts)
{
	const struct fsmoe_binding *binding = &rt->binding;
	struct starpu_conf conf;
	int err = 0, n = 0;

	/* A build with FxT records unless it is told not to. */
	setenv("STARPU_FXT_TRACE", "0", 0);
	setenv("STARPU_SILENT", "1", 0); /* its remarks on machines smaller than the job */
	if (!binding->bound)
		setenv("STARPU_WORKERS_NOBIND", "1", 1);
	if (rt->gpu)
		fsmoe_gpu->prepare_starpu();
	starpu_conf_init(&conf);
	conf.precedence_over_environment_variables = 1;
	conf.ncpus = WORKERS;
	conf.ncuda = rt->gpu ? 1 : 0;
	if (rt->gpu)
	{
		conf.use_explicit_workers_cuda_gpuid = 1;
		conf.workers_cuda_gpuid[0] = (unsigned)fsmoe_gpu->device(rt->gpu);
	}
	conf.nopencl = 0;
	conf.catch_signals = 0;
	rt->starpu.own_policy = !scheduler_of(opts);
	if (rt->starpu.own_policy)
		conf.sched_policy = fsmoe_starpu_policy();
	else
		conf.sched_policy_name = scheduler_of(opts);
	if (binding->bound)
	{
		conf.use_explicit_workers_bindid = 1;
		/* A GPU's workers come first, and one thread drives them. */
		if (rt->gpu)
			conf.workers_bindid[n++] = (unsigned)binding->gpu_core;
		for (int i = 0; i < WORKERS; i++)
			conf.workers_bindid[n++] = (unsigned)binding->core[i];
	}
	err = starpu_init(&conf);
	if (err)
		return fsmoe_fail(-err, "StarPU did not start: %s", strerror(-err));
	rt->starpu.runs = 1;
	if (starpu_cpu_worker_get_count() < WORKERS)
		return fsmoe_fail(
			ENODEV,
			"StarPU gave %u CPU workers, fsmoe needs %d: unset STARPU_NCPU, or build "
			"StarPU with --enable-maxcpus=8",
			starpu_cpu_worker_get_count(), WORKERS);
	rt->starpu.idle_hook = register_idle_hook(rt);
	starpu_worker_get_ids_by_type(STARPU_CPU_WORKER, rt->starpu.lane_worker[FSMOE_ON_CPU],
				      WORKERS);
	return 0;
}

/* Where StarPU has not seen a host before it measures it and writes files, which others may not
 * read while they are written (it aborts): one rank of a host goes ahead. */
static int start_in_turn(fsmoe_runtime_t rt, const struct fsmoe_runtime_opts *opts, int host_rank)
{
	struct fsmoe_comm *world = fsmoe_comms_get(rt->comms, FSMOE_GROUP_WORLD);
	int err = host_rank ? 0 : start_starpu(rt, opts);
	const int met = world ? fsmoe_comm_barrier(world) : 0;

	if (host_rank && !met)
		err = start_starpu(rt, opts);
	return err ? err : met;
}

const char *const fsmoe_runtime_devices[] = {"cpu", "cuda", NULL};
const char *const fsmoe_runtime_executors[] = {"starpu", "stream", NULL};
const char *const fsmoe_runtime_dtypes[] = {"fp32", "tf32", "bf16", NULL};
const char *const fsmoe_runtime_cta_policies[] = {"default", "efficiency", "zero", NULL};

/* The name in the list; NULL: it is not there. */
static const char *one_of(const char *const *names, const char *name)
{
	while (*names && strcmp(*names, name))
		names++;
	return *names;
}

int fsmoe_runtime_opts_check(const struct fsmoe_runtime_opts *opts)
{
	const int cuda = !strcmp(opts->device, "cuda");

	if (!one_of(fsmoe_runtime_devices, opts->device))
		return fsmoe_fail(EINVAL, "no device '%s': there are cpu and cuda", opts->device);
	if (!one_of(fsmoe_runtime_executors, opts->executor))
		return fsmoe_fail(EINVAL, "no executor '%s': there are starpu and stream",
				  opts->executor);
	if (!one_of(fsmoe_runtime_dtypes, opts->dtype))
		return fsmoe_fail(EINVAL, "no dtype '%s': there are fp32, tf32 and bf16",
				  opts->dtype);
	if (!one_of(fsmoe_runtime_cta_policies, opts->cta_policy))
		return fsmoe_fail(EINVAL,
				  "no CTA policy '%s': there are default, efficiency and zero",
				  opts->cta_policy);
	if (!cuda && strcmp(opts->cta_policy, "default") != 0)
		return fsmoe_fail(EINVAL,
				  "the CTA policy '%s' is of GPUs: use 'default', or the device "
				  "'cuda'",
				  opts->cta_policy);
	if (!cuda && strcmp(opts->executor, "stream") == 0)
		return fsmoe_fail(EINVAL, "the executor 'stream' runs on GPUs alone: use the "
					  "device 'cuda'");
	if (cuda && (opts->emulate_inter_gbs > 0 || opts->emulate_intra_gbs > 0))
		return fsmoe_fail(EINVAL, "links are emulated between CPUs only: omit "
					  "--emulate-inter-gbs and --emulate-intra-gbs, or use the "
					  "device 'cpu'");
	if (!cuda && strcmp(opts->dtype, "fp32") != 0)
		return fsmoe_fail(EINVAL,
				  "the dtype '%s' is of GPUs: use 'fp32', or the device 'cuda'",
				  opts->dtype);
	return check_scheduler(opts);
}

int fsmoe_runtime_most_chunks(const char *device)
{
	return strcmp(device, "cuda") ? INT_MAX : FSMOE_CUDA_CHUNKS;
}

static int choose_executor(fsmoe_runtime_t rt, const struct fsmoe_runtime_opts *opts)
{
	const int err = fsmoe_runtime_opts_check(opts);

	if (err)
		return err;
	rt->executor = &fsmoe_executor_starpu;
	if (fsmoe_gpu && !strcmp(opts->executor, "stream"))
		rt->executor = fsmoe_gpu->stream_executor;
	rt->real = strcmp(opts->dtype, "bf16") ? FSMOE_F32 : FSMOE_BF16;
	rt->dtype = one_of(fsmoe_runtime_dtypes, opts->dtype);
	rt->fuse = opts->fuse;
	if (opts->fuse < 0) /* a trace tells where a step is */
		rt->fuse = strcmp(opts->device, "cuda") ? 0 : opts->trace ? 1 : 2;
	return 0;
}

#ifdef FSMOE_USE_CUDA
extern const struct fsmoe_gpu_ops fsmoe_gpu_cuda; /* gpu/gpu.c */
const struct fsmoe_gpu_ops *const fsmoe_gpu = &fsmoe_gpu_cuda;
#else
const struct fsmoe_gpu_ops *const fsmoe_gpu;
#endif

static int start_gpu(fsmoe_runtime_t rt, const struct fsmoe_runtime_opts *opts, int host_rank,
		     int host_size)
{
	if (strcmp(opts->device, "cuda") != 0)
		return 0;
	if (!fsmoe_gpu)
		return fsmoe_fail(ENODEV,
				  "the device is 'cuda', but this fsmoe was built without CUDA: "
				  "build it with nvcc, cuBLAS, NCCL and a StarPU that has CUDA, "
				  "or use the device 'cpu'");
	return fsmoe_gpu->create(&rt->gpu, host_rank, host_size, rt->comms, opts);
}

static void release(fsmoe_runtime_t rt)
{
	if (rt->starpu.runs && rt->starpu.idle_hook >= 0)
		starpu_idle_hook_deregister(rt->starpu.idle_hook);
	if (rt->gpu)
		fsmoe_gpu->destroy(rt->gpu);
	fsmoe_trace_finish(rt->trace);
	if (rt->starpu.runs)
		starpu_shutdown();
	fsmoe_trace_close(rt->trace, fsmoe_comms_get(rt->comms, FSMOE_GROUP_WORLD));
	fsmoe_codelets_destroy(rt);
	fsmoe_profile_destroy(rt->profile);
	fsmoe_record_close(rt->record);
	fsmoe_comms_destroy(rt->comms);
	fsmoe_binding_release(&rt->binding);
}

static int emulate_links(fsmoe_comms_t comms, const struct fsmoe_runtime_opts *opts)
{
	const double gb[] = {opts->emulate_intra_gbs, opts->emulate_inter_gbs};
	int err = 0;

	for (int between = 0; between < 2 && !err; between++)
		if (gb[between] > 0)
			err = fsmoe_comms_emulate(
				comms, between,
				(struct fsmoe_link){1e9 * gb[between],
						    1e-6 * opts->emulate_latency_us});
	return err;
}

/* Everything but the watchdog. */
static int start(fsmoe_runtime_t rt, fsmoe_topo_t topo, const struct fsmoe_runtime_opts *opts)
{
	const int host_rank = topo ? fsmoe_topo_host_rank(topo) : 0,
		  host_size = topo ? fsmoe_topo_host_size(topo) : 1;
	int err = choose_executor(rt, opts);

	if (!err)
		err = fsmoe_comms_create(&rt->comms, rt->groups);
	if (err)
		return err;
	fsmoe_comms_set_watch(rt->comms, rt->watch);
	err = fsmoe_binding_take(&rt->binding, host_rank, host_size, opts->bind);
	if (!err)
		err = start_gpu(rt, opts, host_rank, host_size);
	rt->starpu.polls = rt->binding.bound && !rt->gpu;
	fsmoe_comms_set_own_cores(rt->comms, rt->starpu.polls);
	if (!err)
		err = emulate_links(rt->comms, opts);
	if (!err)
		err = fsmoe_trace_open(&rt->trace, rt->groups, opts);
	if (!err && rt->executor == &fsmoe_executor_starpu)
		err = start_in_turn(rt, opts, host_rank);
	if (!err && rt->gpu)
		err = fsmoe_gpu->connect(rt->gpu, opts->cta_policy);
	if (!err && rt->gpu)
		err = fsmoe_gpu->make_lanes(
			rt->gpu, rt->starpu.runs ? rt->starpu.lane_worker[FSMOE_ON_GPU] : NULL);
	if (!err)
	{
		rt->blas_threads = opts->blas_threads > 0 ? opts->blas_threads : rt->binding.cores;
		fsmoe_blas_threads(rt->blas_threads);
	}
	return err;
}

int fsmoe_runtime_start(fsmoe_runtime_t *runtime, fsmoe_groups_t groups,
			const struct fsmoe_runtime_opts *given)
{
	struct fsmoe_runtime_opts opts;
	struct fsmoe_runtime *rt;
	fsmoe_topo_t topo = groups ? fsmoe_groups_topo(groups) : NULL;
	int err = 0;

	fsmoe_runtime_opts_init(&opts);
	if (given)
		opts = *given;
	if (starpu_is_initialized())
		return fsmoe_fail(EBUSY, "StarPU runs already: stop the other runtime first");
	rt = calloc(1, sizeof(*rt));
	if (!rt)
		return fsmoe_fail(ENOMEM, "no memory for the runtime");
	rt->groups = groups;
	rt->starpu.idle_hook = -1;
	if (topo)
		err = fsmoe_watch_start(&rt->watch, topo, opts.timeout);
	if (!err && rt->watch && opts.catch_term)
		err = fsmoe_watch_catch_term(rt->watch);
	fsmoe_watch_phase(rt->watch, "start");
	if (!err)
		err = start(rt, topo, &opts);
	if (err)
	{
		release(rt);
		fsmoe_watch_stop(rt->watch);
		free(rt);
		return err;
	}
	*runtime = rt;
	return 0;
}

void fsmoe_runtime_stop(fsmoe_runtime_t rt)
{
	if (!rt)
		return;
	if (rt->starpu.runs)
		starpu_task_wait_for_all();
	fsmoe_watch_phase(rt->watch, "end");
	release(rt);
	fsmoe_watch_retire(rt->watch); /* it goes on until the topology is destroyed */
	free(rt);
}

fsmoe_comms_t fsmoe_runtime_comms(fsmoe_runtime_t rt)
{
	return rt->comms;
}

fsmoe_groups_t fsmoe_runtime_groups(fsmoe_runtime_t rt)
{
	return rt->groups;
}

double fsmoe_runtime_peak(fsmoe_runtime_t rt)
{
	return rt->gpu ? fsmoe_gpu->peak(rt->gpu) : 0;
}

struct fsmoe_watch *fsmoe_runtime_watch(fsmoe_runtime_t rt)
{
	return rt->watch;
}

const char *fsmoe_runtime_device(fsmoe_runtime_t rt)
{
	return fsmoe_runtime_devices[rt->gpu != NULL];
}

const char *fsmoe_runtime_dtype(fsmoe_runtime_t rt)
{
	return rt->dtype;
}

int fsmoe_runtime_blas_threads(fsmoe_runtime_t rt)
{
	return rt->blas_threads;
}
