/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/policy.h"

#include "base/clock.h"

#include <errno.h>
#include <fsmoe/starpu.h>
#include <stdlib.h>
#include <time.h>

/*
 * One lock for all lanes: tasks last a hundred microseconds and more, the lock is held for a
 * few hundred nanoseconds, and one order of events is easier to reason about than four.
 *
 * A scheduling context has its own struct policy: a lock, lanes and numbers of its own, over the
 * workers that StarPU adds to it. Numbers are per context, from 0. Collectives of two contexts have
 * no order between them, so they must use different communicators. The idle hook waits in the
 * context that the calling thread has set, or in context 0. fsmoe itself uses context 0 alone.
 */
struct lane
{
	struct starpu_task_list ready; /* sorted by before() */
	int64_t next_seq;
	int in_flight; /* numbered tasks popped and not ended: at most one */
};

struct policy
{
	starpu_pthread_mutex_t lock;
	struct lane lane[FSMOE_NLANES];
	unsigned lanes_of[STARPU_NMAXWORKERS]; /* bit per lane */
	starpu_pthread_cond_t wake[STARPU_NMAXWORKERS];
	int worker[STARPU_NMAXWORKERS], nworkers, ncuda;
	_Atomic unsigned nready; /* read without the lock: workers poll */
};

static const struct fsmoe_task_info *info_of(const struct starpu_task *task,
					     struct fsmoe_task_info *none)
{
	if (task->sched_data)
		return task->sched_data;
	*none = (struct fsmoe_task_info){
		.lane = FSMOE_COMPUTE, .seq = -1, .urgency = task->priority};
	return none;
}

static int numbered(const struct fsmoe_task_info *info)
{
	return info->lane != FSMOE_COMPUTE && info->seq >= 0;
}

/* Numbered tasks by number, before the others; those by urgency, first come first served. */
static int before(const struct starpu_task *a, const struct starpu_task *b)
{
	struct fsmoe_task_info none_a, none_b;
	const struct fsmoe_task_info *ia = info_of(a, &none_a), *ib = info_of(b, &none_b);

	if (numbered(ia) != numbered(ib))
		return numbered(ia);
	return numbered(ia) ? ia->seq < ib->seq : ia->urgency > ib->urgency;
}

static void insert(struct starpu_task_list *list, struct starpu_task *task)
{
	struct starpu_task *at;

	/* From the back: most tasks belong there. */
	for (at = starpu_task_list_back(list); at && before(task, at); at = at->prev)
		;
	if (!at)
	{
		starpu_task_list_push_front(list, task);
		return;
	}
	if (!at->next)
	{
		starpu_task_list_push_back(list, task);
		return;
	}
	task->prev = at;
	task->next = at->next;
	at->next->prev = task;
	at->next = task;
}

static struct policy *policy_of(unsigned ctx)
{
	return starpu_sched_ctx_get_policy_data(ctx);
}

static void lock(struct policy *p)
{
	starpu_worker_relax_on();
	STARPU_PTHREAD_MUTEX_LOCK(&p->lock);
	starpu_worker_relax_off();
}

static void init(unsigned ctx)
{
	struct policy *p = calloc(1, sizeof(*p));

	STARPU_ASSERT_MSG(p, "no memory for the scheduling policy");
	STARPU_PTHREAD_MUTEX_INIT(&p->lock, NULL);
	for (int l = 0; l < FSMOE_NLANES; l++)
		starpu_task_list_init(&p->lane[l].ready);
	for (int w = 0; w < STARPU_NMAXWORKERS; w++)
		STARPU_PTHREAD_COND_INIT(&p->wake[w], NULL);
	starpu_sched_ctx_set_policy_data(ctx, p);
	starpu_sched_ctx_set_min_priority(ctx, INT_MIN);
	starpu_sched_ctx_set_max_priority(ctx, INT_MAX);
}

static void deinit(unsigned ctx)
{
	struct policy *p = policy_of(ctx);

	for (int w = 0; w < STARPU_NMAXWORKERS; w++)
		STARPU_PTHREAD_COND_DESTROY(&p->wake[w]);
	STARPU_PTHREAD_MUTEX_DESTROY(&p->lock);
	free(p);
}

/* The lanes (bits) of worker `index` of the `n` workers of one device: fsmoe/starpu.h. */
static unsigned lanes_served(int index, int n)
{
	static const unsigned compute = 1u << FSMOE_COMPUTE, intra = 1u << FSMOE_INTRA,
			      inter = 1u << FSMOE_INTER;

	if (n == 1)
		return compute | intra | inter;
	if (n == 2)
		return index == 0 ? compute : intra | inter;
	return index == n - 1 ? inter : index == n - 2 ? intra : compute;
}

/* Workers of the CPUs count as one device. */
static void assign_lanes(struct policy *p)
{
	p->ncuda = 0;
	for (int i = 0; i < p->nworkers; i++)
		p->ncuda += starpu_worker_get_type(p->worker[i]) == STARPU_CUDA_WORKER;
	for (int i = 0; i < p->nworkers; i++)
	{
		int w = p->worker[i], index = 0, n = 0;
		enum starpu_worker_archtype type = starpu_worker_get_type(w);

		for (int k = 0; k < p->nworkers; k++)
		{
			int other = p->worker[k];
			if (starpu_worker_get_type(other) != type ||
			    (type == STARPU_CUDA_WORKER &&
			     starpu_worker_get_devid(other) != starpu_worker_get_devid(w)))
				continue;
			index += other < w;
			n++;
		}
		p->lanes_of[w] = lanes_served(index, n);
	}
}

static void add_workers(unsigned ctx, int *ids, unsigned n)
{
	struct policy *p = policy_of(ctx);

	for (unsigned i = 0; i < n; i++)
		p->worker[p->nworkers++] = ids[i];
	assign_lanes(p);
}

static void remove_workers(unsigned ctx, int *ids, unsigned n)
{
	struct policy *p = policy_of(ctx);

	for (unsigned i = 0; i < n; i++)
		for (int k = 0; k < p->nworkers; k++)
			if (p->worker[k] == ids[i])
				p->worker[k--] = p->worker[--p->nworkers];
	assign_lanes(p);
}

/* Called without the lock. A CPU worker that sleeps is not woken, which costs the one who wakes it
 * microseconds, for what only a GPU can do. */
static void wake(struct policy *p, enum fsmoe_lane lane, int for_cpu)
{
	for (int i = 0; i < p->nworkers; i++)
	{
		int w = p->worker[i];
		if (!(p->lanes_of[w] & 1u << lane) ||
		    (!for_cpu && starpu_worker_get_type(w) == STARPU_CPU_WORKER))
			continue;
		STARPU_PTHREAD_COND_SIGNAL(&p->wake[w]);
		starpu_wake_worker_relax_light(w);
	}
}

static int push(struct starpu_task *task)
{
	struct policy *p = policy_of(task->sched_ctx);
	struct fsmoe_task_info none;
	const struct fsmoe_task_info *info = info_of(task, &none);
	const enum fsmoe_lane lane = info->lane;
	const int for_cpu = task->cl->where != STARPU_CUDA;

	if (info->ready)
		*info->ready = fsmoe_clock();
	lock(p);
	insert(&p->lane[lane].ready, task);
	p->nready++;
	starpu_push_task_end(task); /* under the lock: afterwards the task may be gone */
	STARPU_PTHREAD_MUTEX_UNLOCK(&p->lock);
	wake(p, lane, for_cpu);
	return 0;
}

/* With GPUs, communication that they can do is theirs. */
static int leaves_to_gpu(const struct policy *p, enum fsmoe_lane lane, int worker,
			 const struct starpu_task *task)
{
	return p->ncuda > 0 && lane != FSMOE_COMPUTE && task->cl->where & STARPU_CUDA &&
	       starpu_worker_get_type(worker) == STARPU_CPU_WORKER;
}

/* The first task of a lane that may start now and that this worker can run. */
static struct starpu_task *choose(struct policy *p, enum fsmoe_lane lane, int worker)
{
	struct lane *l = &p->lane[lane];
	struct starpu_task *task;

	for (task = starpu_task_list_begin(&l->ready); task != starpu_task_list_end(&l->ready);
	     task = starpu_task_list_next(task))
	{
		struct fsmoe_task_info none;
		const struct fsmoe_task_info *info = info_of(task, &none);
		unsigned implementation;

		if ((numbered(info) && (info->seq != l->next_seq || l->in_flight)) ||
		    leaves_to_gpu(p, lane, worker, task))
			continue;
		if (starpu_worker_can_execute_task_first_impl(worker, task, &implementation) &&
		    !(info->held && info->held(info)))
		{
			starpu_task_set_implementation(task, implementation);
			return task;
		}
	}
	return NULL;
}

static int worker_choice(struct policy *p, int worker, enum fsmoe_lane *lane,
			 struct starpu_task **task)
{
	/* Inter-node first: it is what everything else waits for longest. */
	static const enum fsmoe_lane order[] = {FSMOE_INTER, FSMOE_INTRA, FSMOE_COMPUTE};

	for (int i = 0; i < FSMOE_NLANES; i++)
	{
		*lane = order[i];
		if (!(p->lanes_of[worker] & 1u << order[i]))
			continue;
		*task = choose(p, order[i], worker);
		if (*task)
			return 1;
	}
	return 0;
}

static struct starpu_task *pop(unsigned ctx)
{
	struct policy *p = policy_of(ctx);
	struct starpu_task *task = NULL;
	enum fsmoe_lane lane;

	if (p->nready == 0)
		return NULL;
	lock(p);
	if (worker_choice(p, starpu_worker_get_id_check(), &lane, &task))
	{
		struct fsmoe_task_info none;

		starpu_task_list_erase(&p->lane[lane].ready, task);
		p->nready--;
		if (numbered(info_of(task, &none)))
		{
			p->lane[lane].next_seq++;
			p->lane[lane].in_flight++;
		}
	}
	STARPU_PTHREAD_MUTEX_UNLOCK(&p->lock);
	return task;
}

static void post_exec(struct starpu_task *task, unsigned ctx)
{
	struct policy *p = policy_of(ctx);
	struct fsmoe_task_info none;
	const struct fsmoe_task_info *info = info_of(task, &none);
	enum fsmoe_lane lane = info->lane;
	struct starpu_task *next;
	int for_cpu;

	if (!numbered(info))
		return;
	lock(p);
	p->lane[lane].in_flight--;
	next = starpu_task_list_begin(&p->lane[lane].ready);
	for_cpu = next != starpu_task_list_end(&p->lane[lane].ready) &&
		  next->cl->where != STARPU_CUDA;
	STARPU_PTHREAD_MUTEX_UNLOCK(&p->lock);
	wake(p, lane, for_cpu);
}

/* Looks for a task that the worker may start. A sleeping thread takes 20 to 50 us to wake up, which
 * between the tasks of a chain is time of the step. */
static int found_soon(struct policy *p, int worker)
{
	static const double patience = 300e-6, between = 1e-6; /* s */
	const double until = fsmoe_clock() + patience;
	int found = 0;

	for (double now = fsmoe_clock(); !found && now < until; now = fsmoe_clock())
	{
		enum fsmoe_lane lane;
		struct starpu_task *task;

		if (p->nready > 0)
		{
			STARPU_PTHREAD_MUTEX_LOCK(&p->lock);
			found = worker_choice(p, worker, &lane, &task);
			STARPU_PTHREAD_MUTEX_UNLOCK(&p->lock);
		}
		while (!found && fsmoe_clock() < now + between)
			continue;
	}
	return found;
}

unsigned fsmoe_policy_idle(void *arg)
{
	/* Bounds how long StarPU's stop waits for a worker, and any wake-up that is missed. */
	enum
	{
		LONGEST_NAP_MS = 5
	};
	struct policy *p;
	struct timespec until;
	struct starpu_task *task;
	enum fsmoe_lane lane;
	int worker = starpu_worker_get_id();
	unsigned ctx = starpu_sched_ctx_get_context();
	const int *polls = arg;

	p = policy_of(ctx == STARPU_NMAX_SCHED_CTXS ? 0 : ctx);
	if (!p || worker < 0 || (polls && *polls && found_soon(p, worker)))
		return 1;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += LONGEST_NAP_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L)
	{
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	STARPU_PTHREAD_MUTEX_LOCK(&p->lock);
	if (!worker_choice(p, worker, &lane, &task))
		pthread_cond_timedwait(&p->wake[worker], &p->lock, &until);
	STARPU_PTHREAD_MUTEX_UNLOCK(&p->lock);
	return 1;
}

static struct starpu_sched_policy policy = {
	.init_sched = init,
	.deinit_sched = deinit,
	.add_workers = add_workers,
	.remove_workers = remove_workers,
	.push_task = push,
	.pop_task = pop,
	.post_exec_hook = post_exec,
	.policy_name = "fsmoe",
	.policy_description =
		"lanes for compute, intra-node and inter-node communication, collectives in order",
	.worker_type = STARPU_WORKER_LIST,
};

struct starpu_sched_policy *fsmoe_starpu_policy(void)
{
	return &policy;
}
