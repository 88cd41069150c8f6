/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/profile.h"
#include "topo/abort.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <limits.h>
#include <string.h>

/* clang-format off */
#define AT(field) offsetof(struct cli_profile, field)
#define HEADING(title) {.type = FSMOE_OPTION_HEADING, .help = (title)}
#define INT(name_, field, lo, doc) \
	{.type = FSMOE_OPTION_INT, .name = (name_), .offset = AT(field), .metavar = "N", \
	 .help = (doc), .min = (lo), .max = INT_MAX}
#define TEXT(name_, field, what, doc) \
	{.type = FSMOE_OPTION_STRING, .name = (name_), .offset = AT(field), .metavar = (what), \
	 .help = (doc)}
#define FLAG(name_, field, doc) \
	{.type = FSMOE_OPTION_FLAG, .name = (name_), .offset = AT(field), .help = (doc)}

static const char *const devices[] = {"cpu", "cuda", NULL};

const struct fsmoe_option cli_profile_options[] = {
	TEXT("out", out, "FILE", "Write the profile into a file"),
	{.type = FSMOE_OPTION_REAL, .name = "seconds", .offset = AT(measure.seconds),
	 .metavar = "X", .help = "Measure for about so long; starting comes on top",
	 .min = 0.1, .max = 1e5},
	INT("max-degree", measure.max_degree, 1, "Most chunks of a layer that will be planned with"),
	FLAG("quiet", train.quiet, "Print nothing but failures"),
	HEADING("Model: sizes are measured around those of its step"),
	TEXT("config", train.config, "FILE", "Read a JSON object, as 'fsmoe train' does"),
	TEXT("preset", train.preset, "NAME", "Start from a model with a name"),
	INT("heads", train.model.heads, 1, "Attention heads"),
	INT("model-dim", train.model.model_dim, 1, "Width of a token"),
	INT("hidden", train.model.hidden, 1, "Width of an expert's hidden layer"),
	INT("experts", train.model.experts, 1, "Experts of a layer, over all ranks"),
	INT("topk", train.model.topk, 1, "Experts that each token goes to"),
	{.type = FSMOE_OPTION_REAL, .name = "capacity-factor",
	 .offset = AT(train.model.capacity_factor), .metavar = "X",
	 .help = "Slots of an expert over its even share of tokens; 0: nothing is dropped",
	 .max = 1e6},
	INT("vocab", train.model.vocab, 1, "Vocabulary"),
	INT("batch", train.train.batch, 1, "Sequences of a step, over all ranks"),
	INT("microbatches", train.train.microbatches, 1, "Parts that a step's batch is cut in"),
	INT("seq", train.model.seq, 1, "Tokens of a sequence"),
	HEADING("Layout"),
	INT("nodes", train.nodes, 0, "Treat the ranks as this many equal nodes; 0: as they are"),
	INT("mp", train.layout.mp, 0, "Ranks that share a sequence's heads; 0: a node's"),
	INT("ep", train.layout.ep, 0, "Ranks that the experts are spread over; 0: one of a node"),
	INT("esp", train.layout.esp, 0, "Ranks that share each expert; 0: a node's"),
	INT("dp", train.layout.dp, 0, "Ranks with data of their own; 0: what is left"),
	HEADING("Machine"),
	{.type = FSMOE_OPTION_STRING, .name = "device", .offset = AT(train.runtime.device),
	 .metavar = "NAME", .choices = devices, .help = "cpu, or cuda: a GPU for every rank of a host"},
	INT("blas-threads", train.runtime.blas_threads, 0,
	    "Threads of a rank's matrix products; 0: as many as it has cores"),
	FLAG("bind", train.runtime.bind,
	     "Give every rank cores of its own where there are enough"),
	{.type = FSMOE_OPTION_END},
};
/* clang-format on */

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

/* Defaults < preset < --config FILE < command line; the file may say all that training takes. */
static int load(struct cli_profile *p, struct fsmoe_json *json, int argc, char **argv)
{
	const char *preset;
	int err = cli_profile_init(p, NULL);

	if (!err)
		err = fsmoe_options_parse(cli_profile_options, argc, argv, p);
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
		err = fsmoe_options_parse(cli_profile_options, argc, argv, p);
	p->train.train.seq = p->train.model.seq;
	return err ? err : fsmoe_train_config_check_model(&p->train);
}

static int measure(struct cli_profile *p, fsmoe_groups_t groups, int first)
{
	fsmoe_profile_t profile = NULL;
	fsmoe_runtime_t runtime = NULL;
	double start = fsmoe_clock();
	int err;

	p->train.runtime.timing = 1;
	err = fsmoe_runtime_start(&runtime, groups, &p->train.runtime);
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
	int err = load(&p, &json, argc, argv), code = FSMOE_EXIT_OK;

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
			code = cli_fail(err == -ENODEV || err == -ENOMEM ? FSMOE_EXIT_LAYOUT
									 : FSMOE_EXIT_RUN,
					err);
			fsmoe_topo_abort(topo, code);
		}
	}
	if (groups)
		fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
	fsmoe_json_free(&json);
	return code;
}
