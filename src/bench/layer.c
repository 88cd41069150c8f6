/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/layer.h"

#include "base/option_rows.h"
#include "moe/layer.h"
#include "moe/modules.h"
#include "runtime/introspect.h"
#include "runtime/version.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/module.h>
#include <fsmoe/op.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define AT(field) offsetof(struct fsmoe_bench_opts, field)

const struct fsmoe_option fsmoe_bench_options[] = {
	HEADING("Layer; tokens are counted per rank, experts over all ranks"),
	INT("batch", train.train.global_batch, 1, 1 << 24, "Sequences of a rank"),
	ROWS_OF(fsmoe_train_options, train, "seq-length hidden-size"),
	INT("hidden", train.model.ffn_size, 1, 1 << 24, "Set the width of an expert's hidden layer",
	    OLD("ffn-size")),
	ROWS_OF(fsmoe_train_options, train, "experts top-k gate order"),
	REAL("capacity-factor", train.model.capacity_factor, 0, 1e6,
	     "Slots of an expert over its even share of a rank's tokens; 0: dropless"),
	TEXT("ffn", train.model.expert, "NAME",
	     "The experts: gpt (without biases), mixtral, or another"),
	TEXT("dispatch", train.model.dispatch, "NAME", "How tokens travel between ranks"),
	TEXT("cuts", degrees, "F[/B]",
	     "Chunks of the forward pass, and of the backward pass if different"),
	TEXT("schedule", train.schedule, "NAME",
	     "A schedule's name, or a file with a schedule row"),
	REAL("aux-weight", train.model.gate_opts.balance_loss, 0, 1e6,
	     "Weight of the load-balancing loss in the backward"),
	HEADING("Data"),
	U64("seed", train.train.seed, "Seed of weights, tokens and the output's gradient"),
	REAL("skew", skew, 0, 1e6,
	     "Standard deviation of an offset to each expert's logits: uneven routing"),
	ROWS_OF(fsmoe_train_options, train, "dtype"),
	HEADING("Layout"),
	ROWS_OF(fsmoe_train_options, train, "nodes"),
	INT("ep", train.layout.ep, 0, INT_MAX, "Ranks that the experts are spread over; 0: all"),
	INT("esp", train.layout.esp, 0, INT_MAX, "Ranks that share each expert; 0: one"),
	HEADING("Measuring"),
	INT("iters", steps, 1, 1 << 24, "Steps to time"),
	INT("warmup", warmup, 0, 1 << 24, "Steps before them"),
	FLAG("parts", parts, "Also time the experts' products alone and the communication alone"),
	REAL("peak", train.peak_tflops, 0, 1e9,
	     "Peak of a GPU's matrix products in TFLOP/s, for mfu = operations of the products of "
	     "the experts that tokens reached, forward and backward, without padding, over seconds "
	     "x ranks x peak; 0: that of --dtype, as known for A100, H100, H200"),
	TEXT("tag", tag, "TEXT", "Copied to the result"),
	HEADING("Machine"),
	ROWS_OF(fsmoe_train_options, train, "device executor cta-policy blas-threads bind timeout"),
	{.type = FSMOE_OPTION_END},
};

void fsmoe_bench_opts_init(struct fsmoe_bench_opts *o)
{
	*o = (struct fsmoe_bench_opts){.degrees = "1", .steps = 50, .warmup = 10, .parts = 1};
	o->train.model = (struct fsmoe_model_spec){.seq_length = 1024,
						   .hidden_size = 2048,
						   .ffn_size = 8192,
						   .experts = 8,
						   .top_k = 2,
						   .capacity_factor = 1,
						   .gate = "topk",
						   .dispatch = "flat",
						   .expert = "mlp"};
	o->train.train.global_batch = 4;
	o->train.train.seed = 1;
	fsmoe_runtime_opts_init(&o->train.runtime);
	o->train.runtime.timing = 1;
}

/* --- options -------------------------------------------------------------------------------- */

/* "2", or "2/4". */
static int read_degrees(struct fsmoe_bench_opts *o)
{
	long forward = 0, backward;
	int end = 0;

	if (sscanf(o->degrees, "%ld%n/%ld%n", &forward, &end, &backward, &end) < 2)
		backward = forward;
	if (o->degrees[end] || forward < 1 || backward < 1 || forward > 1 << 20 ||
	    backward > 1 << 20)
		return fsmoe_fail(EINVAL,
				  "--cuts is '%s': give chunks of the forward pass, or of both: 2, "
				  "or 2/4",
				  o->degrees);
	o->train.model.forward_degree = (int)forward;
	o->train.model.backward_degree = (int)backward;
	return 0;
}

int fsmoe_bench_opts_check(struct fsmoe_bench_opts *o)
{
	struct fsmoe_model_spec *m = &o->train.model;

	if (fsmoe_runtime_opts_check(&o->train.runtime) || !fsmoe_gate_find(m->gate) ||
	    !fsmoe_dispatch_find(m->dispatch) || !fsmoe_expert_find(m->expert))
		return -EINVAL;
	if (!m->order)
		m->order = fsmoe_order_for(fsmoe_gate_find(m->gate)->routing)->module.name;
	else if (!fsmoe_order_find(m->order))
		return -EINVAL;
	if ((long long)o->train.train.global_batch * m->seq_length * m->top_k > INT_MAX)
		return fsmoe_fail(EINVAL,
				  "%d sequences of %d tokens with %d experts each are more "
				  "than 2^31 choices: lower --batch or --seq",
				  o->train.train.global_batch, m->seq_length, m->top_k);
	if (read_degrees(o))
		return -EINVAL;
	return fsmoe_train_config_check_chunks(
		&o->train, "--cuts",
		m->forward_degree > m->backward_degree ? m->forward_degree : m->backward_degree);
}

static struct fsmoe_moe_spec spec_of(const struct fsmoe_bench *b)
{
	const struct fsmoe_model_spec *m = &b->opts->train.model;

	return (struct fsmoe_moe_spec){
		.name = "moe",
		.experts = m->experts,
		.top_k = m->top_k,
		.hidden_size = (size_t)m->hidden_size,
		.ffn_size = (size_t)m->ffn_size,
		.capacity_factor = m->capacity_factor,
		.forward_degree = m->forward_degree,
		.backward_degree = m->backward_degree,
		.gate = m->gate,
		.order = m->order,
		.dispatch = m->dispatch,
		.expert = m->expert,
		.init_scale = 1 / sqrt(m->hidden_size),
		.output_scale = 1 / sqrt(m->ffn_size),
		.gate_opts = m->gate_opts,
		.expert_opts = {.no_bias = 1},
		.loss_scale = 1.0 / (double)b->tokens, /* a rank's tokens are the whole batch */
	};
}

/* --- sizes and groups ----------------------------------------------------------------------- */

int fsmoe_bench_lay_out(struct fsmoe_bench *b)
{
	const struct fsmoe_train_config *o = &b->opts->train;
	const int esp = o->layout.esp ? o->layout.esp : 1, ep = o->layout.ep;
	const size_t experts = (size_t)o->model.experts, topk = (size_t)o->model.top_k;
	const double factor = o->model.capacity_factor;

	b->rank = fsmoe_topo_rank(b->topo);
	b->ranks = fsmoe_topo_ranks(b->topo);
	b->tokens = (size_t)o->train.global_batch * (size_t)o->model.seq_length;
	b->spec = spec_of(b);
	if (b->ranks % esp || (ep && b->ranks % ((long long)ep * esp)))
		return fsmoe_fail(EINVAL,
				  "%d ranks cannot be cut into groups of %d x %d: --ep times --esp "
				  "must divide them",
				  b->ranks, ep ? ep : 1, esp);
	const struct fsmoe_layout layout = {
		.dp = b->ranks, .tp = 1, .ep = ep ? ep : b->ranks / esp, .esp = esp};
	/* Without a capacity, as many as balanced routing fills. */
	b->slots = factor > 0 ? fsmoe_moe_capacity(b->tokens, experts, topk, factor)
			      : (b->tokens * topk + experts - 1) / experts;
	return fsmoe_groups_create(&b->groups, b->topo, &layout);
}

static json_t *times_object(const struct fsmoe_bench_times *t)
{
	return json_pack("{s:f, s:f, s:f, s:f}", "median", t->median, "min", t->min, "p10", t->p10,
			 "p90", t->p90);
}

/* Matrices of an expert. */
static int matrices(const struct fsmoe_bench *b)
{
	int n, count = 0;
	const struct fsmoe_param *p = fsmoe_graph_params(b->layer.graph, &n);

	for (int i = 0; i < n; i++)
		count += strstr(p[i].spec.name, ".experts.") && p[i].spec.global.ndim == 3;
	return count;
}

static json_t *describe(const struct fsmoe_bench *b)
{
	const struct fsmoe_bench_opts *o = b->opts;
	const struct fsmoe_model_spec *m = &o->train.model;
	const struct fsmoe_runtime_opts *runtime = &o->train.runtime;

	return json_pack(
		"{s:s, s:i, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:i, s:s, s:s, s:f, "
		"s:i, s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:s*}",
		"impl", "fsmoe", "world", b->ranks, "device", runtime->device, "fsmoe",
		PACKAGE_VERSION, "starpu", fsmoe_starpu_version(), "batch",
		o->train.train.global_batch, "seq", m->seq_length, "model_dim", m->hidden_size,
		"hidden", m->ffn_size, "experts", m->experts, "topk", m->top_k, "capacity_factor",
		m->capacity_factor, "capacity", m->capacity_factor > 0 ? (int)b->slots : 0, "dtype",
		runtime->dtype, "ffn", m->expert, "skew", o->skew, "iters", o->steps, "gate",
		m->gate, "order", m->order, "dispatch", m->dispatch, "schedule",
		fsmoe_graph_schedule(b->layer.graph)->name, "forward_degree", m->forward_degree,
		"backward_degree", m->backward_degree, "nodes", fsmoe_topo_nodes(b->topo), "ep",
		fsmoe_group_size(b->groups, FSMOE_GROUP_EP), "esp",
		fsmoe_group_size(b->groups, FSMOE_GROUP_ESP), "blas_threads",
		fsmoe_runtime_blas_threads(b->runtime), "cta_policy", runtime->cta_policy, "tag",
		o->tag);
}

static json_t *number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

/* NaN if the peak is unknown. Dropped choices are not computed; `dropped` NaN: none were
 * dropped. */
static double mfu(const struct fsmoe_bench *b, double tflops, double dropped)
{
	const double told = b->opts->train.peak_tflops,
		     peak = told > 0 ? told : 1e-12 * fsmoe_runtime_peak(b->runtime);

	return peak > 0 ? tflops * (isfinite(dropped) ? 1 - dropped : 1) / peak : NAN;
}

/* Work of every operation on this rank: flops, or bytes if it moves memory or communicates. */
static json_t *op_work(const struct fsmoe_bench *b)
{
	int nnodes, ntensors;
	const struct fsmoe_node *node = fsmoe_graph_nodes(b->layer.graph, &nnodes);
	const struct fsmoe_tensor_info *tensors = fsmoe_graph_tensors(b->layer.graph, &ntensors);
	json_t *out = json_object();

	for (int i = 0; i < nnodes; i++)
	{
		const char *op = node[i].op->name;

		json_object_set_new(out, op,
				    json_real(json_real_value(json_object_get(out, op)) +
					      fsmoe_node_work(&node[i], tensors)));
	}
	return out;
}

static int measure_layer(struct fsmoe_bench *b, json_t *out, double *step_ms)
{
	struct fsmoe_bench_times step, pass[2];
	double dropped, uneven, tflops;
	json_t *ops;
	int err = fsmoe_bench_time(b, &b->layer, &step, pass, &ops);

	if (!err)
		err = fsmoe_bench_pull(b);
	if (err)
		return err;
	*step_ms = step.median;
	fsmoe_bench_routing(b, &dropped, &uneven);
	json_object_set_new(out, "step_ms", times_object(&step));
	json_object_set_new(out, "fwd_ms", times_object(&pass[0]));
	json_object_set_new(out, "bwd_ms", times_object(&pass[1]));
	json_object_set_new(out, "tokens_per_s",
			    json_real((double)(b->tokens * (size_t)b->ranks) / step.median * 1e3));
	tflops = 6.0 * matrices(b) * (double)b->spec.hidden_size * (double)b->spec.ffn_size *
		 (double)b->tokens * b->spec.top_k / step.median * 1e-9;
	json_object_set_new(out, "routed_tflops_per_gpu", json_real(tflops));
	json_object_set_new(out, "mfu", number(mfu(b, tflops, dropped)));
	json_object_set_new(out, "check", fsmoe_bench_check(b));
	json_object_set_new(out, "rank0_dropped", number(dropped));
	json_object_set_new(out, "rank0_max_over_mean", number(uneven));
	json_object_set_new(out, "ops_ms", ops);
	json_object_set_new(out, "ops_work", op_work(b));
	return 0;
}

/* Times the experts alone and the communication alone; from these follows the shortest step that
 * perfect overlap could leave. */
static int measure_parts(struct fsmoe_bench *b, json_t *out, double step_ms)
{
	const int mats = matrices(b), ep = fsmoe_group_size(b->groups, FSMOE_GROUP_EP);
	struct fsmoe_bench_times gemm, exchange = {0};
	struct fsmoe_bench_program p;
	size_t bytes = 0;
	double flops;
	int err = fsmoe_bench_make_experts(b, &p);

	if (!err)
		err = fsmoe_bench_time(b, &p, &gemm, NULL, NULL);
	fsmoe_bench_free(&p);
	if (err)
		return err;
	err = fsmoe_bench_make_exchange(b, &p, &bytes);
	if (!err && p.program)
		err = fsmoe_bench_time(b, &p, &exchange, NULL, NULL);
	fsmoe_bench_free(&p);
	if (err)
		return err;
	/* Over all ranks, which share experts and slots evenly. */
	flops = 6.0 * mats * (double)b->spec.hidden_size * (double)b->spec.ffn_size *
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

int fsmoe_bench_layer(struct fsmoe_bench *b, json_t **out)
{
	double step_ms;
	int err = fsmoe_bench_make_layer(b);

	if (err)
		return err;
	*out = describe(b);
	err = measure_layer(b, *out, &step_ms);
	return err || !b->opts->parts ? err : measure_parts(b, *out, step_ms);
}

void fsmoe_bench_destroy(struct fsmoe_bench *b)
{
	fsmoe_bench_free(&b->layer);
	fsmoe_runtime_stop(b->runtime);
	fsmoe_groups_destroy(b->groups);
	fsmoe_topo_destroy(b->topo);
}
