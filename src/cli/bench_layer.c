/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_layer.h"

#include "cli/aborts.h"

#include "moe/layer.h"
#include "moe/modules.h"
#include "runtime/inside.h"
#include "runtime/version.h"
#include "topo/abort.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/module.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
#define AT(field) offsetof(struct bench_opts, field)
#define HEADING(title) {.type = FSMOE_OPTION_HEADING, .help = (title)}
#define INT(name_, field, lo, doc) \
	{.type = FSMOE_OPTION_INT, .name = (name_), .offset = AT(field), .metavar = "N", \
	 .help = (doc), .min = (lo), .max = 1 << 24}
#define REAL(name_, field, doc) \
	{.type = FSMOE_OPTION_REAL, .name = (name_), .offset = AT(field), .metavar = "X", \
	 .help = (doc), .max = 1e6}
#define TEXT(name_, field, what, doc) \
	{.type = FSMOE_OPTION_STRING, .name = (name_), .offset = AT(field), .metavar = (what), \
	 .help = (doc)}

const struct fsmoe_option cli_bench_layer_options[] = {
	HEADING("Layer; tokens are counted per rank, experts over all ranks"),
	INT("batch", batch, 1, "Sequences of a rank"),
	INT("seq", seq, 1, "Tokens of a sequence"),
	INT("model-dim", model_dim, 1, "Width of a token"),
	INT("hidden", hidden, 1, "Width of an expert's hidden layer"),
	INT("experts", experts, 1, "Experts, all ranks together"),
	INT("topk", topk, 1, "Experts that each token goes to"),
	REAL("capacity-factor", capacity_factor,
	     "Slots of an expert over its even share of a rank's tokens; 0: nothing is dropped"),
	TEXT("ffn", ffn, "NAME", "What an expert computes: gpt (without biases), mixtral, or another"),
	TEXT("gate", gate, "NAME", "Which experts a token goes to"),
	TEXT("order", order, "NAME", "How tokens are laid out by expert"),
	TEXT("dispatch", dispatch, "NAME", "How tokens travel between ranks"),
	TEXT("cuts", cuts, "F[/B]", "Chunks of the forward pass, and of the backward if others"),
	TEXT("schedule", schedule, "NAME", "A row of the table of schedules, or a file with a row"),
	REAL("aux-weight", aux_weight, "Weight of the load-balancing loss in the backward"),
	HEADING("Data"),
	{.type = FSMOE_OPTION_U64, .name = "seed", .offset = AT(seed), .metavar = "N",
	 .help = "Weights, tokens and the output's gradient follow from it"},
	REAL("skew", skew, "Deviation of an offset on each expert's logits: uneven routing"),
	{.type = FSMOE_OPTION_STRING, .name = "dtype", .offset = AT(runtime.dtype),
	 .metavar = "NAME", .help = "fp32, or on GPUs tf32 or bf16", .choices = fsmoe_runtime_dtypes},
	HEADING("Layout"),
	INT("nodes", nodes, 0, "Treat the ranks as this many equal nodes; 0: as they are"),
	INT("ep", ep, 0, "Ranks that the experts are spread over; 0: all"),
	INT("esp", esp, 0, "Ranks that share each expert; 0: one"),
	HEADING("Measuring"),
	INT("iters", iters, 1, "Steps to time"),
	INT("warmup", warmup, 0, "Steps before them"),
	{.type = FSMOE_OPTION_FLAG, .name = "parts", .offset = AT(parts),
	 .help = "Also time the experts' products alone and the communication alone"},
	REAL("peak", peak,
	     "Peak of a GPU's matrix products in TFLOP/s, for mfu = operations of the products of "
	     "the experts that tokens reached, forward and backward, without padding, over seconds "
	     "x ranks x peak; 0: that of --dtype, as known for A100, H100, H200"),
	TEXT("tag", tag, "TEXT", "Goes into the result as it is"),
	HEADING("Machine"),
	{.type = FSMOE_OPTION_STRING, .name = "device", .offset = AT(runtime.device),
	 .metavar = "NAME", .choices = fsmoe_runtime_devices, .help = "cpu, or cuda: a GPU for every rank of a host"},
	{.type = FSMOE_OPTION_STRING, .name = "executor", .offset = AT(runtime.executor),
	 .metavar = "NAME", .choices = fsmoe_runtime_executors,
	 .help = "starpu, or on GPUs stream: CUDA streams without StarPU"},
	{.type = FSMOE_OPTION_STRING, .name = "cta-policy", .offset = AT(runtime.cta_policy),
	 .metavar = "NAME", .choices = fsmoe_runtime_cta_policies,
	 .help = "What NCCL takes of a GPU's processors: default, efficiency or zero"},
	INT("blas-threads", runtime.blas_threads, 0,
	    "Threads of a rank's matrix products; 0: as many as it has cores"),
	{.type = FSMOE_OPTION_FLAG, .name = "bind", .offset = AT(runtime.bind),
	 .help = "Give every rank cores of its own where there are enough"},
	{.type = FSMOE_OPTION_REAL, .name = "timeout", .offset = AT(runtime.timeout),
	 .metavar = "SECONDS", .max = 1e9,
	 .help = "Time without progress after which the job is ended; 0: never"},
	{.type = FSMOE_OPTION_END},
};
/* clang-format on */

const void *cli_bench_layer_defaults(void)
{
	static struct bench_opts opts;

	opts = (struct bench_opts){.batch = 4,
				   .seq = 1024,
				   .model_dim = 2048,
				   .hidden = 8192,
				   .experts = 8,
				   .topk = 2,
				   .capacity_factor = 1,
				   .seed = 1,
				   .ffn = "gpt",
				   .gate = "topk",
				   .dispatch = "flat",
				   .cuts = "1",
				   .iters = 50,
				   .warmup = 10,
				   .parts = 1};
	fsmoe_runtime_opts_init(&opts.runtime);
	opts.runtime.timing = 1;
	return &opts;
}

/* --- reading what is asked for -------------------------------------------------------------- */

/* "2", or "2/4". */
static int read_cuts(struct bench_opts *o)
{
	char *end, *last;
	long forward = strtol(o->cuts, &end, 10), backward = forward;

	last = end;
	if (*end == '/')
		backward = strtol(end + 1, &last, 10);
	if (end == o->cuts || last == end + 1 || *last || forward < 1 || backward < 1 ||
	    forward > 1 << 20 || backward > 1 << 20)
		return fsmoe_fail(EINVAL,
				  "--cuts is '%s': give chunks of the forward pass, or of both: 2, "
				  "or 2/4",
				  o->cuts);
	o->forward_degree = (int)forward;
	o->backward_degree = (int)backward;
	return 0;
}

static int read_schedule(struct bench *b, const char *name)
{
	if (!name)
		return 0;
	b->schedule = fsmoe_schedule_find(name);
	if (b->schedule || !strchr(name, '.'))
		return b->schedule ? 0 : -ENOENT;
	b->schedule = &b->loaded;
	return fsmoe_schedule_load(&b->loaded, name);
}

static int check(struct bench_opts *o)
{
	if (fsmoe_runtime_opts_check(&o->runtime) || !fsmoe_gate_find(o->gate) ||
	    !fsmoe_dispatch_find(o->dispatch) || !fsmoe_expert_find(o->ffn))
		return -EINVAL;
	if (!o->order)
		o->order = fsmoe_order_for(fsmoe_gate_find(o->gate)->routing)->module.name;
	else if (!fsmoe_order_find(o->order))
		return -EINVAL;
	if ((long long)o->batch * o->seq * o->topk > INT_MAX)
		return fsmoe_fail(EINVAL,
				  "%d sequences of %d tokens with %d experts each are more "
				  "than 2^31 choices: lower --batch or --seq",
				  o->batch, o->seq, o->topk);
	return 0;
}

static struct fsmoe_moe_spec spec_of(const struct bench *b)
{
	const struct bench_opts *o = b->opts;

	return (struct fsmoe_moe_spec){
		.name = "moe",
		.experts = o->experts,
		.topk = o->topk,
		.model_dim = (size_t)o->model_dim,
		.hidden = (size_t)o->hidden,
		.capacity_factor = o->capacity_factor,
		.forward_degree = o->forward_degree,
		.backward_degree = o->backward_degree,
		.gate = o->gate,
		.order = o->order,
		.dispatch = o->dispatch,
		.expert = o->ffn,
		.init_scale = 1 / sqrt(o->model_dim),
		.output_scale = 1 / sqrt(o->hidden),
		.gate_opts = {.balance_loss = o->aux_weight},
		.expert_opts = {.no_bias = 1},
		.loss_scale = 1.0 / (double)b->tokens, /* a rank's tokens are all there is */
	};
}

/* --- one run -------------------------------------------------------------------------------- */

/* The job's ranks and groups; what cannot be is the same on all of them. */
static int lay_out(struct bench *b)
{
	const struct bench_opts *o = b->opts;
	const int esp = o->esp ? o->esp : 1;
	size_t capacity, group;

	b->rank = fsmoe_topo_rank(b->topo);
	b->ranks = fsmoe_topo_ranks(b->topo);
	b->tokens = (size_t)o->batch * (size_t)o->seq;
	b->spec = spec_of(b);
	if (b->ranks % esp || (o->ep && b->ranks % (o->ep * esp)))
		return fsmoe_fail(EINVAL,
				  "%d ranks cannot be cut into groups of %d x %d: --ep times --esp "
				  "must divide them",
				  b->ranks, o->ep ? o->ep : 1, esp);
	const struct fsmoe_layout layout = {
		.dp = b->ranks, .mp = 1, .ep = o->ep ? o->ep : b->ranks / esp, .esp = esp};
	capacity = fsmoe_moe_capacity(b->tokens, (size_t)o->experts, (size_t)o->topk,
				      o->capacity_factor);
	/* Without a capacity: what balanced routing fills. */
	group = (b->tokens * (size_t)o->topk + (size_t)o->experts - 1) / (size_t)o->experts;
	b->slots = o->capacity_factor > 0 ? capacity : group;
	return fsmoe_groups_create(&b->groups, b->topo, &layout);
}

static json_t *times_object(const struct bench_times *t)
{
	return json_pack("{s:f, s:f, s:f, s:f}", "median", t->median, "min", t->min, "p10", t->p10,
			 "p90", t->p90);
}

/* Matrices of an expert. */
static int matrices(const struct bench *b)
{
	int n, count = 0;
	const struct fsmoe_param *p = fsmoe_graph_params(b->layer.graph, &n);

	for (int i = 0; i < n; i++)
		count += strstr(p[i].spec.name, ".experts.") && p[i].spec.global.ndim == 3;
	return count;
}

static json_t *describe(const struct bench *b)
{
	const struct bench_opts *o = b->opts;

	return json_pack(
		"{s:s, s:i, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:i, s:s, s:s, s:f, "
		"s:i, s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:s}",
		"impl", "fsmoe", "world", b->ranks, "device", o->runtime.device, "fsmoe",
		PACKAGE_VERSION, "starpu", fsmoe_starpu_version(), "batch", o->batch, "seq", o->seq,
		"model_dim", o->model_dim, "hidden", o->hidden, "experts", o->experts, "topk",
		o->topk, "capacity_factor", o->capacity_factor, "capacity",
		o->capacity_factor > 0 ? (int)b->slots : 0, "dtype", o->runtime.dtype, "ffn",
		o->ffn, "skew", o->skew, "iters", o->iters, "gate", o->gate, "order", o->order,
		"dispatch", o->dispatch, "schedule", fsmoe_graph_schedule(b->layer.graph)->name,
		"forward_degree", o->forward_degree, "backward_degree", o->backward_degree, "nodes",
		fsmoe_topo_nodes(b->topo), "ep", fsmoe_group_size(b->groups, FSMOE_GROUP_EP), "esp",
		fsmoe_group_size(b->groups, FSMOE_GROUP_ESP), "blas_threads",
		fsmoe_runtime_blas_threads(b->runtime), "cta_policy", o->runtime.cta_policy);
}

static json_t *number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

/* NaN: the peak is not known. What was dropped was not computed; NaN of it: nothing was. */
static double mfu(const struct bench *b, double tflops, double dropped)
{
	const double peak =
		b->opts->peak > 0 ? b->opts->peak : 1e-12 * fsmoe_runtime_peak(b->runtime);

	return peak > 0 ? tflops * (isfinite(dropped) ? 1 - dropped : 1) / peak : NAN;
}

static int measure_layer(struct bench *b, json_t *out, double *step_ms)
{
	struct bench_times step, forward, backward;
	double dropped, uneven, tflops;
	json_t *ops;
	int err = bench_time_layer(b, &step, &forward, &backward, &ops);

	if (!err)
		err = fsmoe_program_pull(b->layer.program, NULL, 0);
	if (err)
		return err;
	*step_ms = step.median;
	bench_routing(b, &dropped, &uneven);
	json_object_set_new(out, "step_ms", times_object(&step));
	json_object_set_new(out, "fwd_ms", times_object(&forward));
	json_object_set_new(out, "bwd_ms", times_object(&backward));
	json_object_set_new(out, "tokens_per_s",
			    json_real((double)(b->tokens * (size_t)b->ranks) / step.median * 1e3));
	tflops = 6.0 * matrices(b) * (double)b->spec.model_dim * (double)b->spec.hidden *
		 (double)b->tokens * b->spec.topk / step.median * 1e-9;
	json_object_set_new(out, "routed_tflops_per_gpu", json_real(tflops));
	json_object_set_new(out, "mfu", number(mfu(b, tflops, dropped)));
	json_object_set_new(out, "check", bench_check(b));
	json_object_set_new(out, "rank0_dropped", number(dropped));
	json_object_set_new(out, "rank0_max_over_mean", number(uneven));
	json_object_set_new(out, "ops_ms", ops);
	return 0;
}

/* The experts alone and the communication alone, and what hiding one behind the other could at best
 * leave of the step. */
static int measure_parts(struct bench *b, json_t *out, double step_ms)
{
	const int mats = matrices(b), ep = fsmoe_group_size(b->groups, FSMOE_GROUP_EP);
	struct bench_times gemm, exchange = {0};
	struct bench_program p;
	size_t bytes = 0;
	double flops;
	int err = bench_make_experts(b, &p);

	if (!err)
		err = bench_time(b, &p, &gemm);
	bench_free(&p);
	if (err)
		return err;
	err = bench_make_exchange(b, &p, &bytes);
	if (!err && p.program)
		err = bench_time(b, &p, &exchange);
	bench_free(&p);
	if (err)
		return err;
	/* Experts and slots over all ranks, shared evenly by them. */
	flops = 6.0 * mats * (double)b->spec.model_dim * (double)b->spec.hidden *
		(double)b->spec.experts * (double)b->slots;
	json_object_set_new(out, "gemm_ms", times_object(&gemm));
	json_object_set_new(out, "a2a4_ms", times_object(&exchange));
	json_object_set_new(out, "a2a_bytes", json_integer((json_int_t)bytes));
	json_object_set_new(out, "gemm_tflops", json_real(flops / gemm.median * 1e-9));
	json_object_set_new(out, "a2a_busbw_gbs",
			    json_real(exchange.median > 0 ? 4.0 * (double)bytes * (ep - 1) / ep /
								    exchange.median * 1e-6
							  : 0));
	json_object_set_new(out, "overlap_bound_ms",
			    json_real(step_ms - gemm.median - exchange.median +
				      fmax(gemm.median, exchange.median)));
	return 0;
}

static int measure(struct bench *b)
{
	double step_ms;
	json_t *out;
	int err = cli_runtime_start(&b->runtime, b->groups, &b->opts->runtime);

	if (!err)
		err = bench_make_layer(b);
	if (err)
		return err;
	out = describe(b);
	if (b->opts->tag)
		json_object_set_new(out, "tag", json_string(b->opts->tag));
	err = measure_layer(b, out, &step_ms);
	if (!err && b->opts->parts)
		err = measure_parts(b, out, step_ms);
	if (!err && b->rank == 0)
	{
		json_dumpf(out, stdout, JSON_REAL_PRECISION(9));
		putchar('\n');
	}
	json_decref(out);
	return err;
}

static void release(struct bench *b)
{
	bench_free(&b->layer);
	fsmoe_runtime_stop(b->runtime);
	fsmoe_groups_destroy(b->groups);
	fsmoe_topo_destroy(b->topo);
}

int cli_bench_layer(int argc, char **argv)
{
	struct bench_opts o = *(const struct bench_opts *)cli_bench_layer_defaults();
	struct bench b = {.opts = &o};
	int err = fsmoe_options_parse(cli_bench_layer_options, argc, argv, &o), code;

	if (err == FSMOE_OPTIONS_HELP)
		return cli_show_help(argv[0]);
	if (err || check(&o) || read_cuts(&o) || read_schedule(&b, o.schedule))
		return cli_fail(FSMOE_EXIT_USAGE, 0);
	err = fsmoe_topo_create(&b.topo, NULL, o.nodes);
	if (err)
		return cli_fail(FSMOE_EXIT_LAYOUT, err);
	if (lay_out(&b))
	{
		code = cli_fail_together(FSMOE_EXIT_LAYOUT);
		release(&b);
		return code;
	}
	err = measure(&b);
	if (err)
	{
		code = cli_fail(err == -ENODEV || err == -ENOMEM ? FSMOE_EXIT_LAYOUT
				: err == -EINVAL                 ? FSMOE_EXIT_USAGE
								 : FSMOE_EXIT_RUN,
				err);
		fsmoe_topo_abort(b.topo, code);
		release(&b);
		return code;
	}
	release(&b);
	return FSMOE_EXIT_OK;
}
