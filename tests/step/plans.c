/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random plans under random delays (any number of ranks): plans [COUNT] [FIRST SEED] [NODES].
 * Every plan's step runs twice under StarPU, every tenth kernel or so being late by up to a
 * millisecond, on every rank another one; then losses and parameters have the same bits as those of
 * the reference walker on a graph with the same degrees, one lane for either span and all gradients
 * at the end. A deadlock ends in the watchdog.
 */
#include "tests/step/job.h"
#include "tests/lib/try.h"

#include "base/rng.h"
#include "graph/graph.h"
#include "step/step.h"

#include <fsmoe.h>
#include <string.h>
#include <time.h>

enum
{
	LAYERS = 3,
	CHUNKS = 4,
	STEPS = 2
};

/* --- late kernels ------------------------------------------------------------------------- */

/* A row whose kernel sleeps first. A codelet is kept for a row, so rows live as long as all. */
static struct late
{
	struct fsmoe_op op; /* first: a node's op is this struct */
	const struct fsmoe_op *real;
} late[64];
static uint64_t delays; /* stream of this plan and rank */

static int sleep_and_run(const struct fsmoe_call *call)
{
	const struct late *row = (const struct late *)call->node->op;
	const uint64_t node = (uint64_t)call->node->id;

	if (fsmoe_rng_bits(delays, 2 * node) % 10 == 0)
		nanosleep(
			&(struct timespec){
				.tv_nsec = (long)(fsmoe_rng_bits(delays, 2 * node + 1) % 1000000)},
			NULL);
	return row->real->cpu[FSMOE_F32](call);
}

static const struct fsmoe_op *late_row(const struct fsmoe_op *op)
{
	struct late *l = late;

	while (l->real && l->real != op)
		l++;
	if (l + 1 == late + sizeof(late) / sizeof(late[0]))
		exit(1); /* more operations than this test knows */
	if (!l->real)
	{
		l->real = op;
		l->op = *op;
		l->op.cpu[FSMOE_F32] = sleep_and_run;
	}
	return &l->op;
}

static void make_late(fsmoe_graph_t g)
{
	for (int i = 0; i < g->nnodes; i++)
		g->nodes[i].op = late_row(g->nodes[i].op);
}

/* --- two walkers -------------------------------------------------------------------------- */

static void prepare(const struct job *j, const struct fsmoe_step_graph *s, fsmoe_memory_t *memory)
{
	int n;
	const struct fsmoe_tensor_info *t = fsmoe_graph_tensors(s->graph, &n);

	TRY(fsmoe_memory_create(memory, s->graph, FSMOE_F32, NULL));
	TRY(fsmoe_memory_init_params(*memory, 3));
	for (int i = 0; i < s->micro_batches; i++)
	{
		int32_t *tokens = fsmoe_memory_data(*memory, s->batch[i].tokens),
			*targets = fsmoe_memory_data(*memory, s->batch[i].targets);

		for (size_t k = 0; k < fsmoe_shape_count(&t[s->batch[i].tokens].shape); k++)
		{
			tokens[k] = (int32_t)(fsmoe_rng_bits((uint64_t)(j->rank * 8 + i), k) %
					      (uint64_t)j->spec.vocab_size);
			targets[k] = (tokens[k] + 1) % j->spec.vocab_size;
		}
	}
}

static void execute(const struct job *j, struct fsmoe_step_graph *s, fsmoe_memory_t *memory)
{
	TRY(fsmoe_step_create(s, j->groups, fsmoe_model_as_forward(&j->spec), &j->opts));
	prepare(j, s, memory);
	for (uint64_t i = 1; i <= STEPS; i++)
		TRY(fsmoe_graph_execute(s->graph, *memory, fsmoe_runtime_comms(j->rt),
					&(struct fsmoe_step){.step = i, .lr = 1e-2}));
}

static void submit(const struct job *j, struct fsmoe_step_graph *s, fsmoe_memory_t *memory)
{
	fsmoe_program_t program;

	TRY(fsmoe_step_create(s, j->groups, fsmoe_model_as_forward(&j->spec), &j->opts));
	make_late(s->graph);
	prepare(j, s, memory);
	TRY(fsmoe_program_create(&program, j->rt, s->graph, *memory));
	for (uint64_t i = 1; i <= STEPS; i++)
		TRY(fsmoe_program_submit(program, &(struct fsmoe_step){.step = i, .lr = 1e-2}));
	TRY(fsmoe_program_wait(program));
	fsmoe_program_destroy(program);
}

/* The loss, and every persistent tensor by its name. */
static int differences(const struct fsmoe_step_graph *a, fsmoe_memory_t ma,
		       const struct fsmoe_step_graph *b, fsmoe_memory_t mb)
{
	int n, bad = *(float *)fsmoe_memory_data(ma, a->loss) !=
		     *(float *)fsmoe_memory_data(mb, b->loss);
	const struct fsmoe_tensor_info *t = fsmoe_graph_tensors(a->graph, &n);

	for (int i = 0; i < n; i++)
	{
		fsmoe_tensor_t other;

		if (t[i].base != i || t[i].role == FSMOE_ACTIVATION || t[i].role == FSMOE_INPUT)
			continue;
		other = fsmoe_graph_find(b->graph, t[i].name);
		if (other != FSMOE_NONE &&
		    !memcmp(fsmoe_memory_data(ma, i), fsmoe_memory_data(mb, other),
			    fsmoe_shape_count(&t[i].shape) * sizeof(float)))
			continue;
		printf("tensor '%s' differs\n", t[i].name);
		bad++;
	}
	return bad;
}

/* --- a plan ------------------------------------------------------------------------------- */

/* Lanes by span, gradients at the end; degrees and weight gradients as the plan has them. */
static void reference_of(const struct random_plan *r, struct random_plan *plain)
{
	*plain = *r;
	plain->row.alltoall_lane = FSMOE_INTER;
	plain->row.gather_lane = FSMOE_INTRA;
	plain->row.gradients = FSMOE_GRADIENTS_AT_END;
	plain->plan.layer = plain->layer;
	for (int i = 0; i < LAYERS; i++)
		plain->layer[i].moe = plain->layer[i].dense = (struct fsmoe_share){0, 0};
}

static int try_plan(struct job *j, uint64_t seed)
{
	struct fsmoe_step_graph a, b;
	struct random_plan r, plain;
	fsmoe_memory_t ma, mb;
	int bad;

	j->spec.capacity_factor = seed % 3 ? 1.0 : 0; /* dropped tokens, or none */
	j->opts.micro_batches = 1 + (int)(seed % 2);
	j->opts.schedule = NULL;
	j->opts.plan = NULL;
	job_random_plan(j, seed, CHUNKS, &r);
	reference_of(&r, &plain);
	delays = fsmoe_rng_subkey(fsmoe_rng_key(seed, "delays"), (uint64_t)j->rank);
	j->opts.schedule = &plain.row;
	j->opts.plan = &plain.plan;
	execute(j, &a, &ma);
	j->opts.schedule = &r.row;
	j->opts.plan = &r.plan;
	submit(j, &b, &mb);
	bad = differences(&a, ma, &b, mb);
	if (bad)
		printf("rank %d, seed %llu: %d differences\n", j->rank, (unsigned long long)seed,
		       bad);
	fsmoe_memory_destroy(ma);
	fsmoe_memory_destroy(mb);
	fsmoe_step_destroy(&a);
	fsmoe_step_destroy(&b);
	return bad;
}

int main(int argc, char **argv)
{
	const int count = argc > 1 ? atoi(argv[1]) : 10;
	const uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	struct job j;
	int bad = 0;

	job_start(&j, argc > 3 ? atoi(argv[3]) : 0);
	j.spec.layers = LAYERS;
	j.spec.vocab_size = 32;
	if (j.rank == 0)
		printf("%d plans from seed %llu on: %d ranks on %d nodes\n", count,
		       (unsigned long long)first, fsmoe_topo_ranks(j.topo),
		       fsmoe_topo_nodes(j.topo));
	for (int i = 0; i < count; i++)
	{
		if (j.rank == 0 && i % 20 == 0)
			printf("seed %llu: %d of %d done, %d failed\n",
			       (unsigned long long)first + (unsigned)i, i, count, bad);
		fflush(stdout);
		bad += try_plan(&j, first + (uint64_t)i) != 0;
	}
	if (j.rank == 0)
		printf("%d plans, %d failed\n", count, bad);
	job_stop(&j);
	return bad ? 1 : 0;
}
