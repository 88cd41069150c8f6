/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every schedule trains to the same losses, on four ranks as 2 nodes of 2: bit by bit at equal
 * degrees, else up to rounding. And a plan that is another on one rank is refused on all.
 */
#include "tests/step/job.h"
#include "tests/lib/try.h"

#include "base/rng.h"

#include <fsmoe.h>
#include <math.h>
#include <string.h>

enum
{
	STEPS = 5,
	BATCH = 8,
	SEQ = 16
};

static void train(struct job *j, double *loss)
{
	fsmoe_trainer_t trainer;

	TRY(fsmoe_trainer_create(&trainer, j->rt, fsmoe_model_as_forward(&j->spec), &j->opts));
	for (int step = 0; step < STEPS; step++)
		loss[step] = job_step(j, trainer, fsmoe_rng_key(5, "rows"), step);
	fsmoe_trainer_destroy(trainer);
}

/* The greatest relative distance. */
static double distance(const double *a, const double *b)
{
	double most = 0;

	for (int i = 0; i < STEPS; i++)
		most = fmax(most, fabs(a[i] - b[i]) / fabs(b[i]));
	return most;
}

static void expect(struct job *j, const char *name, const double *loss, const double *want,
		   double bound)
{
	const double d = distance(loss, want);

	if (j->rank == 0)
		printf("%-16s degrees %d, %d: last loss %.9g, %.2g from the first row's\n", name,
		       j->spec.forward_degree, j->spec.backward_degree, loss[STEPS - 1], d);
	j->bad += !(d <= bound);
}

/* Five steps of a few float roundings each, times what Adam makes of them. */
static const double rounding = 1e-4;

static void rows_agree(struct job *j)
{
	double one[STEPS] = {0}, first[STEPS], loss[STEPS];

	for (int degrees = 0; degrees < 2; degrees++)
	{
		j->spec.forward_degree = degrees ? 2 : 1;
		j->spec.backward_degree = degrees ? 3 : 1;
		for (int i = degrees; i < FSMOE_PUBLISHED_SCHEDULES; i++)
		{
			const struct fsmoe_schedule *row = fsmoe_schedule_at(i);
			struct fsmoe_schedule small = *row;

			/* 30 MB would be one piece of this model's gradients. */
			if (row->gradient_bytes > 0)
				small.gradient_bytes = 1000;
			j->opts.schedule = &small;
			train(j, loss);
			if (i == degrees)
				memcpy(first, loss, sizeof(loss));
			if (i == 0)
				memcpy(one, loss, sizeof(loss));
			expect(j, row->name, loss, first, 0);
		}
		expect(j, "first row", first, one, rounding);
	}
	j->opts.schedule = NULL; /* weight gradients deferred */
	train(j, loss);
	expect(j, "none", loss, first, rounding);
	j->opts.schedule = fsmoe_schedule_find("default");
	memcpy(first, loss, sizeof(loss));
	train(j, loss);
	expect(j, "default", loss, first, 0);
}

static void another_plan_is_refused(struct job *j)
{
	fsmoe_trainer_t trainer;
	struct random_plan r;
	int err;

	j->opts.schedule = NULL;
	job_random_plan(j, 4, 4, &r);
	r.layer[1].forward_degree += j->rank == 2;
	j->opts.schedule = &r.row;
	j->opts.plan = &r.plan;
	err = fsmoe_trainer_create(&trainer, j->rt, fsmoe_model_as_forward(&j->spec), &j->opts);
	if (err == -22 && strstr(fsmoe_last_error(), "rank 2 has another plan than rank 0"))
		return;
	printf("rank %d: a plan that only rank 2 has gives %d: %s\n", j->rank, err,
	       fsmoe_last_error());
	j->bad++;
}

int main(void)
{
	struct job j;

	job_start(&j, 2);
	j.opts.global_batch = BATCH;
	j.opts.seq_length = SEQ;
	j.opts.micro_batches = 2;
	rows_agree(&j);
	another_plan_is_refused(&j);
	job_stop(&j);
	return j.bad ? 1 : 0;
}
