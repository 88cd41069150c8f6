/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/sigabrt.h"
#include "cli/cli.h"

#include "base/log.h"
#include "base/option_rows.h"
#include "config/config.h"
#include "runtime/introspect.h"
#include "topo/abort.h"
#include "generate/generate.h"

#include <errno.h>
#include <fsmoe/checkpoint.h>
#include <fsmoe/error.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct generate
{
	const char *checkpoint, *prompt;
	int length;
	struct fsmoe_sampling sampling;
	struct fsmoe_train_config train; /* only nodes, layout and runtime are used */

	struct fsmoe_checkpoint_info info;
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_runtime_t started;
	struct fsmoe_generator *generator;
	int first;
	int32_t *tokens; /* the prompt, then the generated tokens */
	size_t n;
};

#define AT(field) offsetof(struct generate, field)

const struct fsmoe_option cli_generate_options[] = {
	TEXT("checkpoint", checkpoint, "DIR",
	     "Load the model from this folder, the one of train --checkpoint or one of its steps"),
	TEXT("prompt", prompt, "TEXT",
	     "Continue this text; if the vocabulary is not bytes, it is token numbers separated by "
	     "blanks"),
	INT("length", length, 1, INT_MAX, "Generate N tokens"),
	REAL("temperature", sampling.temperature, 0, 1e3,
	     "Divide logits by X before sampling; 0: take the likeliest token"),
	INT("top-k", sampling.top_k, 0, INT_MAX, "Sample from the N likeliest tokens; 0: from all"),
	REAL("top-p", sampling.top_p, 0, 1,
	     "Sample from the likeliest tokens whose probabilities add up to X"),
	U64("seed", sampling.seed, "Derive the samples from N"),
	ROWS_OF(fsmoe_train_options, train, "nodes tp ep esp"),
	INT("dp", train.layout.dp, 0, INT_MAX,
	    "Let N groups of ranks do the same work; 0: as many as the other sizes leave"),
	ROWS_OF(fsmoe_train_options, train, "device dtype blas-threads"),
	{.type = FSMOE_OPTION_END},
};

static void init(struct generate *g)
{
	*g = (struct generate){
		.prompt = "\n",
		.length = 300,
		.sampling = {.temperature = 0.8, .top_p = 1, .seed = 1},
	};
	fsmoe_runtime_opts_init(&g->train.runtime);
	fsmoe_checkpoint_info_init(&g->info);
}

const void *cli_generate_defaults(void)
{
	static struct generate g;

	init(&g);
	return &g;
}

/* Reads the prompt as tokens, and leaves room for those to be generated. */
static int read_prompt(struct generate *g)
{
	const int bytes = g->info.model.vocab_size <= 256;
	const char *text = g->prompt;
	char *end;

	g->tokens = calloc(strlen(text) + (size_t)g->length + 1, sizeof(*g->tokens));
	if (!g->tokens)
		return fsmoe_fail(ENOMEM, "no memory for %d tokens", g->length);
	for (; bytes && *text; text++)
		g->tokens[g->n++] = (unsigned char)*text;
	while (!bytes && *(text += strspn(text, " \n\t")))
	{
		const long token = strtol(text, &end, 10);

		if (end == text || token < 0 || token >= g->info.model.vocab_size)
			return fsmoe_fail(EINVAL,
					  "--prompt: '%.20s' is no token number below %d, the "
					  "model's vocabulary",
					  text, g->info.model.vocab_size);
		g->tokens[g->n++] = (int32_t)token;
		text = end;
	}
	if (!g->n)
		return fsmoe_fail(EINVAL, "--prompt is empty: give at least one token to continue");
	return 0;
}

static void print_token(const struct generate *g, int32_t token)
{
	if (!g->first)
		return;
	if (g->info.model.vocab_size <= 256)
		putchar(token);
	else
		printf("%d ", token);
	fflush(stdout);
}

static int generate(struct generate *g)
{
	int err = 0;

	for (size_t i = 0; i < g->n; i++)
		print_token(g, g->tokens[i]);
	for (int i = 0; i < g->length && !err; i++)
	{
		err = fsmoe_generator_next(g->generator, g->tokens, g->n, &g->sampling, (uint64_t)i,
					   &g->tokens[g->n]);
		if (!err)
			print_token(g, g->tokens[g->n++]);
	}
	if (!err && g->first)
		putchar('\n');
	return err;
}

static void release(struct generate *g)
{
	fsmoe_generator_destroy(g->generator);
	fsmoe_runtime_stop(g->started);
	fsmoe_groups_destroy(g->groups);
	fsmoe_topo_destroy(g->topo);
	fsmoe_checkpoint_info_free(&g->info);
	free(g->tokens);
}

static int fail_alone(struct generate *g, int code, int err)
{
	code = cli_fail(code, err);
	fsmoe_topo_abort(g->topo, code);
	release(g);
	return code;
}

static int fail_together(struct generate *g, int code)
{
	code = cli_fail_together(code);
	release(g);
	return code;
}

static int run(struct generate *g)
{
	const int most = fsmoe_runtime_most_chunks(g->train.runtime.device);
	int err = fsmoe_topo_create(&g->topo, NULL, g->train.nodes);

	/* The model may have been trained on another device. Degrees change no value. */
	if (g->info.model.forward_degree > most)
		g->info.model.forward_degree = most;
	if (err)
		return fail_alone(g, FSMOE_EXIT_LAYOUT, err);
	g->first = fsmoe_topo_rank(g->topo) == 0;
	fsmoe_log_setup(fsmoe_topo_rank(g->topo), fsmoe_topo_ranks(g->topo), FSMOE_LOG_WARNING);
	if (fsmoe_groups_create(&g->groups, g->topo, &g->train.layout) ||
	    fsmoe_model_spec_check(&g->info.model, g->groups))
		return fail_together(g, FSMOE_EXIT_LAYOUT);
	err = cli_runtime_start(&g->started, g->groups, &g->train.runtime);
	if (err)
		return fail_alone(g, FSMOE_EXIT_RUN, err);
	if (fsmoe_generator_create(&g->generator, g->started, &g->info.model, g->checkpoint))
		return fail_together(g, FSMOE_EXIT_DATA);
	err = generate(g);
	if (err)
		return fail_alone(g, FSMOE_EXIT_RUN, err);
	release(g);
	return FSMOE_EXIT_OK;
}

int cli_generate(int argc, char **argv)
{
	struct generate g;
	int err;

	init(&g);
	err = fsmoe_options_parse(cli_generate_options, argc, argv, &g);
	if (err == FSMOE_OPTIONS_HELP)
		return cli_show_help(argv[0]);
	if (!err && !g.checkpoint)
		err = fsmoe_fail(EINVAL,
				 "there is no model to generate with: give --checkpoint=DIR, "
				 "where train --checkpoint=DIR has saved one");
	if (!err)
		err = fsmoe_runtime_opts_check(&g.train.runtime);
	if (err)
		return cli_fail(FSMOE_EXIT_USAGE, err);
	err = fsmoe_checkpoint_read_info(g.checkpoint, &g.info);
	if (!err && !g.info.has_model)
		err = fsmoe_fail(EINVAL,
				 "the checkpoint %s is of a program's own model: that program must "
				 "generate with it",
				 g.checkpoint);
	if (!err && g.info.model.bidirectional)
		err = fsmoe_fail(EINVAL,
				 "the model of the checkpoint %s fills in masked tokens and cannot "
				 "go on with a text: take one that was trained with "
				 "--objective=next",
				 g.checkpoint);
	if (err)
		return fail_alone(&g, FSMOE_EXIT_DATA, err);
	err = read_prompt(&g);
	return err ? fail_alone(&g, FSMOE_EXIT_USAGE, err) : run(&g);
}
