/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/bind.h"
#include "runtime/inside.h"
#include "runtime/policy.h"
#include "runtime/runtime.h"
#include "runtime/version.h"
#include "topo/topo.h"

#include <errno.h>
#include <fsmoe/error.h>
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

/* StarPU itself only warns of a policy that it does not have, and takes another. */
static int check_scheduler(const char *name)
{
	struct starpu_sched_policy **policy;
	char known[512] = "fsmoe";

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

static int start_starpu(fsmoe_runtime_t rt, const struct fsmoe_runtime_opts *opts,
			const struct fsmoe_binding *binding)
{
	struct starpu_conf conf;
	const char *scheduler = opts->scheduler ? opts->scheduler : getenv("STARPU_SCHED");
	int err = 0;

	/* A build with FxT records unless it is told not to. */
	setenv("STARPU_FXT_TRACE", "0", 0);
	setenv("STARPU_SILENT", "1", 0); /* its remarks on machines smaller than the job */
	if (!binding->bound)
		setenv("STARPU_WORKERS_NOBIND", "1", 1);
	starpu_conf_init(&conf);
	conf.precedence_over_environment_variables = 1;
	conf.ncpus = WORKERS;
	conf.ncuda = 0;
	conf.nopencl = 0;
	conf.catch_signals = 0;
	rt->own_policy = !scheduler || !strcmp(scheduler, "fsmoe");
	if (!rt->own_policy)
		err = check_scheduler(scheduler);
	if (err)
		return err;
	if (rt->own_policy)
		conf.sched_policy = fsmoe_starpu_policy();
	else
		conf.sched_policy_name = scheduler;
	if (binding->bound)
	{
		conf.use_explicit_workers_bindid = 1;
		for (int i = 0; i < WORKERS; i++)
			conf.workers_bindid[i] = (unsigned)binding->core[i];
	}
	err = starpu_init(&conf);
	if (err)
		return fsmoe_fail(-err, "StarPU did not start: %s", strerror(-err));
	if (starpu_cpu_worker_get_count() < WORKERS)
	{
		starpu_shutdown();
		return fsmoe_fail(
			ENODEV,
			"StarPU gave %u CPU workers, fsmoe needs %d: unset STARPU_NCPU, or build "
			"StarPU with --enable-maxcpus=8",
			starpu_cpu_worker_get_count(), WORKERS);
	}
	rt->idle_hook = starpu_idle_hook_register(rt->own_policy ? fsmoe_policy_idle : nap, NULL);
	starpu_worker_get_ids_by_type(STARPU_CPU_WORKER, rt->lane_worker, WORKERS);
	return 0;
}

int fsmoe_runtime_start(fsmoe_runtime_t *runtime, fsmoe_groups_t groups,
			const struct fsmoe_runtime_opts *given)
{
	struct fsmoe_runtime_opts opts;
	struct fsmoe_binding binding;
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
	if (topo)
		err = fsmoe_watch_start(&rt->watch, topo, opts.timeout);
	if (!err && rt->watch && opts.catch_term)
		err = fsmoe_watch_catch_term(rt->watch);
	fsmoe_watch_phase(rt->watch, "start");
	if (!err)
		err = fsmoe_comms_create(&rt->comms, groups);
	if (!err)
	{
		fsmoe_comms_set_watch(rt->comms, rt->watch);
		err = fsmoe_binding_find(&binding, topo ? fsmoe_topo_host_rank(topo) : 0,
					 topo ? fsmoe_topo_host_size(topo) : 1, opts.bind);
	}
	if (!err)
		err = fsmoe_trace_open(&rt->trace, groups, &opts);
	if (!err)
		err = start_starpu(rt, &opts, &binding);
	if (err)
	{
		fsmoe_trace_free(rt->trace);
		fsmoe_comms_destroy(rt->comms);
		fsmoe_watch_stop(rt->watch);
		free(rt);
		return err;
	}
	fsmoe_blas_threads(opts.blas_threads > 0 ? opts.blas_threads : binding.cores);
	*runtime = rt;
	return 0;
}

void fsmoe_runtime_stop(fsmoe_runtime_t rt)
{
	if (!rt)
		return;
	starpu_task_wait_for_all();
	fsmoe_watch_phase(rt->watch, "end");
	if (rt->idle_hook >= 0)
		starpu_idle_hook_deregister(rt->idle_hook);
	fsmoe_trace_finish(rt->trace);
	starpu_shutdown();
	fsmoe_trace_close(rt->trace, fsmoe_comms_get(rt->comms, FSMOE_GROUP_WORLD));
	fsmoe_codelets_destroy(rt);
	fsmoe_comms_destroy(rt->comms);
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

struct fsmoe_watch *fsmoe_runtime_watch(fsmoe_runtime_t rt)
{
	return rt->watch;
}
