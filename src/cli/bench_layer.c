/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/layer.h"

#include "cli/sigabrt.h"
#include "cli/cli.h"
#include "cli/planning.h"
#include "topo/abort.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdio.h>

const void *cli_bench_layer_defaults(void)
{
	static struct fsmoe_bench_opts opts;

	fsmoe_bench_opts_init(&opts);
	return &opts;
}

static int measure_layer(struct fsmoe_bench *b)
{
	json_t *out = NULL;
	int err = cli_runtime_start(&b->runtime, b->groups, &b->opts->train.runtime);

	if (!err)
		err = fsmoe_bench_layer(b, &out);
	if (!err && b->rank == 0)
	{
		json_dumpf(out, stdout, JSON_REAL_PRECISION(9));
		putchar('\n');
	}
	json_decref(out);
	return err;
}

static int exit_code(int err)
{
	if (err == -ENODEV || err == -ENOMEM)
		return FSMOE_EXIT_LAYOUT;
	return err == -EINVAL ? FSMOE_EXIT_USAGE : FSMOE_EXIT_RUN;
}

int cli_bench_layer(int argc, char **argv)
{
	struct fsmoe_bench_opts o;
	struct fsmoe_bench b = {.opts = &o};
	int err, code = FSMOE_EXIT_OK;

	fsmoe_bench_opts_init(&o);
	err = fsmoe_options_parse(fsmoe_bench_options, argc, argv, &o);
	if (err == FSMOE_OPTIONS_HELP)
		return cli_show_help(argv[0]);
	if (err || fsmoe_bench_opts_check(&o) ||
	    (o.train.schedule && cli_planning_row(o.train.schedule, &b.schedule)))
		return cli_fail(FSMOE_EXIT_USAGE, 0);
	err = fsmoe_topo_create(&b.topo, NULL, o.train.nodes);
	if (err)
		return cli_fail(FSMOE_EXIT_LAYOUT, err);
	if (fsmoe_bench_lay_out(&b))
		code = cli_fail_together(FSMOE_EXIT_LAYOUT);
	else if ((err = measure_layer(&b)))
	{
		code = cli_fail(exit_code(err), err);
		fsmoe_topo_abort(b.topo, code);
	}
	fsmoe_bench_destroy(&b);
	return code;
}
