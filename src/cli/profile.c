/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/file.h"
#include "cli/sigabrt.h"
#include "cli/cli.h"
#include "cli/profile.h"
#include "topo/abort.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/module.h>
#include <limits.h>
#include <string.h>

#define AT(field) offsetof(struct cli_profile, field)

const struct fsmoe_option cli_profile_options[] = {
	TEXT("out", out, "FILE", "Write the profile into a file"),
	REAL("seconds", measure.seconds, 0.1, 1e5,
	     "Measure for at most X seconds, not counting the start"),
	INT("max-degree", measure.max_degree, 1, 4096,
	    "Measure for plans of at most N chunks of a layer"),
	ROWS_OF(fsmoe_train_options, train, "quiet"),
	CLI_PROFILE_ROWS(train),
	{.type = FSMOE_OPTION_END},
};

const void *cli_profile_defaults(void)
{
	static struct cli_profile profile;

	return cli_profile_init(&profile, NULL) ? NULL : &profile;
}

int cli_profile_init(struct cli_profile *p, const char *preset)
{
	struct cli_profile fresh = {0};
	const int err = fsmoe_train_config_init(&fresh.train, preset);

	if (err)
		return err;
	fsmoe_measure_opts_init(&fresh.measure);
	*p = fresh;
	return 0;
}

int cli_profile_load(const struct fsmoe_option *table, struct cli_profile *p,
		     struct fsmoe_json *json, int argc, char **argv)
{
	const char *preset;
	int err = cli_profile_init(p, NULL);

	if (!err)
		err = fsmoe_options_parse(table, argc, argv, p);
	if (!err && p->train.config)
		err = fsmoe_json_load(json, p->train.config);
	if (err)
		return err;
	preset = p->train.preset;
	if (!preset)
		preset = json_string_value(json_object_get(json->root, "preset"));
	err = cli_profile_init(p, preset);
	if (!err && json->root)
		err = fsmoe_options_json(fsmoe_train_options, json, &p->train);
	if (!err)
		err = fsmoe_options_parse(table, argc, argv, p);
	p->train.train.seq_length = p->train.model.seq_length;
	/* Stages of all dispatches are measured, whichever dispatch the model has. */
	if (!err && !strcmp(p->train.model.dispatch, FSMOE_DISPATCH_AUTO))
		p->train.model.dispatch = fsmoe_dispatch_find(NULL)->module.name;
	if (!err)
		err = fsmoe_runtime_opts_check(&p->train.runtime);
	if (!err)
		err = fsmoe_train_config_check_chunks(&p->train, "--max-degree",
						      p->measure.max_degree);
	return err ? err : fsmoe_train_config_check_model(&p->train);
}

static int measure(struct cli_profile *p, fsmoe_groups_t groups, int first)
{
	fsmoe_profile_t profile = NULL;
	fsmoe_runtime_t runtime = NULL;
	double start = fsmoe_clock();
	int err = first && p->out ? fsmoe_file_check_writable(p->out) : 0;

	p->train.runtime.timing = 1;
	if (!err)
		err = cli_runtime_start(&runtime, groups, &p->train.runtime);
	if (!err)
		err = fsmoe_profile_measure(&profile, runtime, &p->train.model, &p->train.train,
					    &p->measure);
	if (!err)
		err = cli_profile_describe(p, profile, runtime);
	if (!err && first && !p->train.quiet)
		cli_profile_print(profile, fsmoe_clock() - start);
	if (!err && first && p->out)
		err = fsmoe_profile_save(profile, p->out);
	if (!err && first && p->out && !p->train.quiet)
		printf("written to %s\n", p->out);
	fsmoe_profile_destroy(profile);
	if (!err)
		fsmoe_runtime_stop(runtime);
	return err;
}

int cli_profile(int argc, char **argv)
{
	struct cli_profile p;
	struct fsmoe_json json = {0};
	fsmoe_topo_t topo = NULL;
	fsmoe_groups_t groups = NULL;
	int err = cli_profile_load(cli_profile_options, &p, &json, argc, argv),
	    code = FSMOE_EXIT_OK;

	if (err == FSMOE_OPTIONS_HELP)
		return cli_show_help(argv[0]);
	if (err)
	{
		fsmoe_json_free(&json);
		return cli_fail(FSMOE_EXIT_USAGE, err);
	}
	err = fsmoe_topo_create(&topo, NULL, p.train.nodes);
	if (!err)
		err = fsmoe_groups_create(&groups, topo, &p.train.layout);
	if (!err)
		err = fsmoe_train_config_fits(&p.train, groups);
	if (err)
		code = topo ? cli_fail_together(FSMOE_EXIT_LAYOUT)
			    : cli_fail(FSMOE_EXIT_LAYOUT, err);
	else
	{
		err = measure(&p, groups, fsmoe_topo_rank(topo) == 0);
		if (err)
		{
			code = cli_fail(FSMOE_EXIT_RUN, err);
			fsmoe_topo_abort(topo, code);
		}
	}
	if (groups)
		fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
	fsmoe_json_free(&json);
	return code;
}
