/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/schedule.h"

#include "base/file.h"
#include "cli/sigabrt.h"
#include "cli/planning.h"
#include "cli/profile.h"
#include "runtime/introspect.h"
#include "topo/abort.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

/* `fsmoe bench schedule`: schedules in turn on one model, predicted beside measured. */
struct schedule_opts
{
	struct cli_profile profile; /* first: cli_profile_load */
	const char *schedule, *csv;
	int rounds;
};

#define AT(field) offsetof(struct schedule_opts, field)

const struct fsmoe_option cli_bench_schedule_options[] = {
	TEXT("schedule", schedule, "NAME", "Run this schedule (default all)"),
	TEXT("profile", profile.train.profile, "FILE",
	     "Predict by this profile (default one measured first)"),
	INT("rounds", rounds, 0, 1000000, "Run N steps of every schedule, in turn; 0: 15"),
	TEXT("csv", csv, "FILE", "Append a line for every schedule to this file"),
	INT("max-degree", profile.measure.max_degree, 1, 4096, "Plan at most N chunks of a layer"),
	REAL("seconds", profile.measure.seconds, 0.1, 1e5,
	     "Without --profile, measure one for about X seconds"),
	ROWS_OF(fsmoe_train_options, profile.train, "layers"),
	CLI_PROFILE_ROWS(profile.train),
	{.type = FSMOE_OPTION_END},
};

const void *cli_bench_schedule_defaults(void)
{
	static struct schedule_opts o;

	return cli_profile_init(&o.profile, NULL) ? NULL : &o;
}

/* Finds the schedule of this name; NULL: all published ones. */
static int find_rows(const char *name, struct fsmoe_bench_rows *b)
{
	b->row = calloc(FSMOE_PUBLISHED_SCHEDULES, sizeof(*b->row));
	if (!b->row)
		return fsmoe_fail(ENOMEM, "no memory for %d schedules", FSMOE_PUBLISHED_SCHEDULES);
	if (name)
	{
		b->n = 1;
		return cli_planning_row(name, &b->row[0].schedule) ? -EINVAL : 0;
	}
	for (b->n = 0; b->n < FSMOE_PUBLISHED_SCHEDULES; b->n++)
		b->row[b->n].schedule = *fsmoe_schedule_at(b->n);
	return 0;
}

static double off(double predicted, double measured)
{
	return measured > 0 ? 100 * (predicted / measured - 1) : 0;
}

static void print_rows(const struct fsmoe_bench_rows *b)
{
	printf("%-15s %7s %10s %10s %17s %7s   %s\n", "schedule", "chunks", "predicted", "measured",
	       "(10 % to 90 %)", "off", "exposed communication");
	for (int i = 0; i < b->n; i++)
	{
		const struct fsmoe_bench_row *r = &b->row[i];
		char chunks[32];

		snprintf(chunks, sizeof(chunks), "%d / %d", r->plan.layer[0].forward_degree,
			 r->plan.layer[0].backward_degree);
		printf("%-15s %7s %7.2f ms %7.2f ms (%6.2f to %6.2f) %+6.1f%%   %.2f ms, predicted "
		       "%.2f\n",
		       r->schedule.name, chunks, 1e3 * r->predicted, 1e3 * r->measured,
		       1e3 * r->low, 1e3 * r->high, off(r->predicted, r->measured),
		       1e3 * r->measured_exposed, 1e3 * r->predicted_exposed);
	}
	printf("\n%-15s", "off by kind");
	for (int i = 0; i < b->n; i++)
		printf(" %14s", b->row[i].schedule.name);
	putchar('\n');
	for (int k = 0; k < FSMOE_NKINDS; k++)
	{
		if (b->row[0].measured_kind[k] <= 0)
			continue;
		printf("%-15s", fsmoe_kind_name((enum fsmoe_kind)k));
		for (int i = 0; i < b->n; i++)
			printf(" %6.2fms %+5.0f%%", 1e3 * b->row[i].measured_kind[k],
			       off(b->row[i].predicted_kind[k], b->row[i].measured_kind[k]));
		putchar('\n');
	}
	printf("off: predicted over measured, medians of %d rounds; communication includes "
	       "waiting for others on the rank that waits least\n",
	       b->rounds);
}

static int write_csv(const struct fsmoe_bench_rows *b, const char *path, const char *scheduler)
{
	FILE *f = fopen(path, "ae");

	if (!f)
		return fsmoe_fail(errno, "cannot write %s: %s", path, strerror(errno));
	if (ftell(f) == 0)
		fputs("scheduler,schedule,forward,backward,predicted_s,measured_s,low_s,high_s,"
		      "predicted_exposed_s,measured_exposed_s\n",
		      f);
	for (int i = 0; i < b->n; i++)
	{
		const struct fsmoe_bench_row *r = &b->row[i];

		fprintf(f, "%s,%s,%d,%d,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g\n", scheduler,
			r->schedule.name, r->plan.layer[0].forward_degree,
			r->plan.layer[0].backward_degree, r->predicted, r->measured, r->low,
			r->high, r->predicted_exposed, r->measured_exposed);
	}
	return fclose(f) ? fsmoe_fail(errno, "cannot write %s: %s", path, strerror(errno)) : 0;
}

static int bench(struct schedule_opts *o, struct fsmoe_bench_rows *b)
{
	struct fsmoe_train_config *train = &o->profile.train;
	int err;

	train->runtime.timing = 1;
	err = cli_runtime_start(&b->runtime, b->groups, &train->runtime);
	if (err)
		return err;
	b->world = fsmoe_comms_get(fsmoe_runtime_comms(b->runtime), FSMOE_GROUP_WORLD);
	fsmoe_runtime_set_recording(b->runtime, 1);
	if (o->csv && b->world->rank == 0)
		err = fsmoe_file_check_writable(o->csv);
	if (!err && !b->profile)
		err = fsmoe_profile_measure(&b->profile, b->runtime, &train->model, &train->train,
					    &o->profile.measure);
	if (!err && train->profile && b->world->rank == 0)
		cli_profile_compare(b->profile, train->profile, &train->runtime);
	if (!err)
		err = fsmoe_runtime_set_profile(b->runtime, b->profile);
	if (!err)
		err = fsmoe_bench_rows_run(b);
	if (err)
		return err;
	if (b->world->rank == 0)
		print_rows(b);
	if (b->world->rank == 0 && o->csv)
		err = write_csv(b, o->csv,
				train->runtime.starpu_sched ? train->runtime.starpu_sched
							    : "fsmoe");
	return err;
}

static int lay_out(struct schedule_opts *o, fsmoe_topo_t *topo, struct fsmoe_bench_rows *b)
{
	int err = fsmoe_topo_create(topo, NULL, o->profile.train.nodes);

	if (!err)
		err = fsmoe_groups_create(&b->groups, *topo, &o->profile.train.layout);
	return err ? err : fsmoe_train_config_fits(&o->profile.train, b->groups);
}

int cli_bench_schedule(int argc, char **argv)
{
	struct schedule_opts o = {.schedule = NULL};
	struct fsmoe_bench_rows b = {.n = 0};
	struct fsmoe_json json = {0};
	fsmoe_topo_t topo = NULL;
	int err = cli_profile_load(cli_bench_schedule_options, &o.profile, &json, argc, argv),
	    code = FSMOE_EXIT_OK;

	if (err == FSMOE_OPTIONS_HELP)
		return cli_show_help(argv[0]);
	if (!err)
		err = find_rows(o.schedule, &b);
	if (err)
		code = cli_fail(FSMOE_EXIT_USAGE, err);
	else if (o.profile.train.profile &&
		 (err = fsmoe_profile_load(&b.profile, o.profile.train.profile)))
		code = cli_fail(FSMOE_EXIT_DATA, err);
	else if (lay_out(&o, &topo, &b))
		code = cli_fail_together(FSMOE_EXIT_LAYOUT);
	if (!code)
	{
		b.model = &o.profile.train.model;
		b.train = &o.profile.train.train;
		b.max_degree = o.profile.measure.max_degree;
		b.rounds = o.rounds > 0 ? o.rounds : 15;
		err = bench(&o, &b);
		if (err)
		{
			code = cli_fail(err == -ENODATA ? FSMOE_EXIT_DATA : FSMOE_EXIT_RUN, err);
			fsmoe_topo_abort(topo, code);
		}
	}
	fsmoe_bench_rows_free(&b);
	fsmoe_profile_destroy(b.profile);
	fsmoe_runtime_stop(b.runtime);
	if (b.groups)
		fsmoe_groups_destroy(b.groups);
	fsmoe_topo_destroy(topo);
	fsmoe_json_free(&json);
	return code;
}
