/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CLI_PROFILE_H
#define FSMOE_CLI_PROFILE_H

#include "config/config.h"
#include "runtime/inside.h"

#include <fsmoe/measure.h>
#include <limits.h>

/* `fsmoe profile`: a model and a layout as training has them, and where the result goes. */
struct cli_profile
{
	struct fsmoe_train_config train;
	struct fsmoe_measure_opts measure;
	const char *out;
};

/* clang-format off */
#define CLI_P_AT(field) offsetof(struct cli_profile, field)
#define CLI_P_HEADING(title) {.type = FSMOE_OPTION_HEADING, .help = (title)}
#define CLI_P_INT(name_, field, lo, doc) \
	{.type = FSMOE_OPTION_INT, .name = (name_), .offset = CLI_P_AT(field), .metavar = "N", \
	 .help = (doc), .min = (lo), .max = INT_MAX}
#define CLI_P_TEXT(name_, field, what, doc) \
	{.type = FSMOE_OPTION_STRING, .name = (name_), .offset = CLI_P_AT(field), \
	 .metavar = (what), .help = (doc)}
#define CLI_P_FLAG(name_, field, doc) \
	{.type = FSMOE_OPTION_FLAG, .name = (name_), .offset = CLI_P_AT(field), .help = (doc)}
#define CLI_P_REAL(name_, field, doc) \
	{.type = FSMOE_OPTION_REAL, .name = (name_), .offset = CLI_P_AT(field), .metavar = "X", \
	 .help = (doc), .max = 1e6}

/* A model, a layout and a machine, for commands whose options begin with a struct cli_profile. */
#define CLI_PROFILE_MODEL_ROWS \
	CLI_P_HEADING("Model"), \
	CLI_P_TEXT("config", train.config, "FILE", "Read a JSON object, as 'fsmoe train' does"), \
	CLI_P_TEXT("preset", train.preset, "NAME", "Start from a model with a name"), \
	CLI_P_INT("heads", train.model.heads, 1, "Attention heads"), \
	CLI_P_INT("model-dim", train.model.model_dim, 1, "Width of a token"), \
	CLI_P_INT("hidden", train.model.hidden, 1, "Width of an expert's hidden layer"), \
	CLI_P_INT("experts", train.model.experts, 1, "Experts of a layer, over all ranks"), \
	CLI_P_INT("topk", train.model.topk, 1, "Experts that each token goes to"), \
	CLI_P_REAL("capacity-factor", train.model.capacity_factor, \
		   "Slots of an expert over its even share of tokens; 0: nothing is dropped"), \
	CLI_P_INT("vocab", train.model.vocab, 1, "Vocabulary"), \
	CLI_P_INT("batch", train.train.batch, 1, "Sequences of a step, over all ranks"), \
	CLI_P_INT("microbatches", train.train.microbatches, 1, \
		  "Parts that a step's batch is cut in"), \
	CLI_P_INT("seq", train.model.seq, 1, "Tokens of a sequence"), \
	CLI_P_HEADING("Layout"), \
	CLI_P_INT("nodes", train.nodes, 0, \
		  "Treat the ranks as this many equal nodes; 0: as they are"), \
	CLI_P_INT("mp", train.layout.mp, 0, "Ranks that share a sequence's heads; 0: a node's"), \
	CLI_P_INT("ep", train.layout.ep, 0, \
		  "Ranks that the experts are spread over; 0: one of a node"), \
	CLI_P_INT("esp", train.layout.esp, 0, "Ranks that share each expert; 0: a node's"), \
	CLI_P_INT("dp", train.layout.dp, 0, "Ranks with data of their own; 0: what is left"), \
	CLI_P_HEADING("Machine"), \
	{.type = FSMOE_OPTION_STRING, .name = "device", .offset = CLI_P_AT(train.runtime.device), \
	 .metavar = "NAME", .choices = fsmoe_runtime_devices, \
	 .help = "cpu, or cuda: a GPU for every rank of a host"}, \
	{.type = FSMOE_OPTION_STRING, .name = "dtype", .offset = CLI_P_AT(train.runtime.dtype), \
	 .metavar = "NAME", .choices = fsmoe_runtime_dtypes, \
	 .help = "fp32, or on GPUs tf32 or bf16"}, \
	{.type = FSMOE_OPTION_STRING, .name = "cta-policy", \
	 .offset = CLI_P_AT(train.runtime.cta_policy), .metavar = "NAME", \
	 .choices = fsmoe_runtime_cta_policies, \
	 .help = "What NCCL takes of a GPU's processors: default, efficiency or zero"}, \
	CLI_P_INT("blas-threads", train.runtime.blas_threads, 0, \
	    "Threads of a rank's matrix products; 0: as many as it has cores"), \
	CLI_P_TEXT("scheduler", train.runtime.scheduler, "NAME", \
	     "A StarPU scheduling policy; fsmoe's own else"), \
	CLI_P_FLAG("bind", train.runtime.bind, \
	     "Give every rank cores of its own where there are enough"), \
	CLI_P_REAL("emulate-inter", train.runtime.emulate_inter, \
		   "Let messages between nodes take as long as over a link of X GB/s of a rank " \
		   "each way, on CPUs; 0: links are what they are"), \
	CLI_P_REAL("emulate-intra", train.runtime.emulate_intra, \
		   "The same of messages inside a node"), \
	CLI_P_REAL("emulate-latency", train.runtime.emulate_latency, \
		   "Microseconds of such a message")
/* clang-format on */

int cli_profile_init(struct cli_profile *profile, const char *preset);

/* Defaults < preset < --config FILE < command line, by a table whose struct begins with `profile`
 * and is else zero; the file may say all that training takes. Free json after. */
int cli_profile_load(const struct fsmoe_option *table, struct cli_profile *profile,
		     struct fsmoe_json *json, int argc, char **argv);

/* Notes of the machine, the date, versions, threads and the model. Collective. */
int cli_profile_describe(const struct cli_profile *options, fsmoe_profile_t profile,
			 fsmoe_runtime_t runtime);
/* Warns where a run with these options is of another device or dtype than the profile, whose times
 * are then of something else. What a profile does not say is not known to differ. */
void cli_profile_compare(fsmoe_profile_t profile, const char *path,
			 const struct fsmoe_runtime_opts *opts);
/* The table of lines. */
void cli_profile_print(fsmoe_profile_t profile, double seconds);

#endif
