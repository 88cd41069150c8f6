/* SPDX-License-Identifier: Apache-2.0 */
#include "base/option_rows.h"
#include "config/config.h"
#include "runtime/introspect.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

/* clang-format off */
#define AT(field) offsetof(struct fsmoe_train_config, field)

static const char *const optimizers[] = {"adamw", "sgd", NULL};
static const char *const drops[] = {"position", "probability", "token", NULL};
static const char *const weights[] = {"chosen", "all", "sigmoid", NULL};
static const char *const activations[] = {"gelu", "relu", NULL};
static const char *const objectives[] = {"next", "masked", NULL};
static const char *const on_nan[] = {"stop", "skip", NULL};
/* In the order of enum fsmoe_data_format. */
static const char *const formats[] = {"auto", "bytes", "uint16", "llmc", NULL};

const struct fsmoe_option fsmoe_train_options[] = {
	HEADING("Run"),
	{.type = FSMOE_OPTION_STRING, .name = "config", .offset = AT(config), .metavar = "FILE",
	 .help = "Read options from a JSON object; its keys are their names, with _ for -",
	 .flags = FSMOE_OPTION_NOT_JSON | FSMOE_OPTION_COMMON},
	TEXT("preset", preset, "NAME", "Start from a preset that 'fsmoe info' lists", COMMON),
	INT("steps", steps, 1, INT_MAX, "Train N steps", OLD("train-iters"), COMMON),
	TEXT("output", output, "DIR", "Write metrics.jsonl, log and run.json into this folder",
	     OLD("run"), COMMON),
	TEXT("metrics", metrics, "FILE", "Write a JSON object for each step to this file"),
	INT("log-every", log_every, 1, INT_MAX, "Print a line every N steps"),
	TEXT("record-events", record_events, "DIR",
	     "Record when each task was ready, started and ended, in one file for each rank",
	     OLD("events")),
	TEXT("timeline", timeline, "FILE",
	     "Write the last step's timeline of every rank, and with --profile the predicted one, "
	     "for ui.perfetto.dev"),
	INT("timeline-steps", timeline_steps, 1, INT_MAX,
	    "Write timelines of the last N steps; the step's number is added to the names of all "
	    "files but the last"),
	FLAG("progress", progress,
	     "Show a bar with the time left; on a terminal it is shown anyway"),
	FLAG("quiet", quiet, "Print failures only"),
	TEXT("trace", runtime.trace, "DIR",
	     "Write StarPU's traces of a few steps into this folder, for ViTE and other tools"),
	TEXT("trace-steps", trace_steps, "A-B", "Trace steps A to B (default 3-4)"),
	FLAG("print-breakdown", print_breakdown, "Print at the end where the last step's time went",
	     OLD("breakdown")),

	HEADING("Data"),
	TEXT("data", data, "PATH", "Train on a file, a folder (its files without a '.' in their "
	     "names), or a pattern such as 'texts/*.txt'; *.bin is read as token numbers, anything "
	     "else as bytes", COMMON),
	CHOICE("data-format", data_format, "NAME", formats,
	       "Read data as bytes, uint16 or llmc; auto: llmc if a *.bin has llm.c's header, "
	       "uint16 for other *.bin, bytes otherwise"),
	TEXT("val", val, "PATH", "Hold out this data; no part of --data is then held out"),
	REAL("val-fraction", val_fraction, 0, 0.9, "Hold out this last part of --data"),
	INT("val-every", val_every, 0, INT_MAX,
	    "Measure the held-out loss every N steps; 0: at the end only"),
	INT("val-samples", val_samples, 0, INT_MAX,
	    "Measure it on N sequences spread over the held-out part, at the end on all; 0: always "
	    "on all"),

	HEADING("Checkpoints"),
	TEXT("checkpoint", checkpoint, "DIR", "Save checkpoints in this folder: at the end, when "
	     "stopped by a signal, and every --checkpoint-every steps", COMMON),
	INT("checkpoint-every", checkpoint_every, 0, INT_MAX,
	    "Save every N steps; 0: no periodic checkpoints", COMMON),
	INT("keep-checkpoints", keep_checkpoints, 1, INT_MAX, "Keep the newest N checkpoints",
	    OLD("keep")),
	TEXT("resume", resume, "PATH", "Resume from a checkpoint; 'latest': from the newest in "
	     "--checkpoint, or from the start if it has none", COMMON),
	CHOICE("on-nan", on_nan, "WHAT", on_nan,
	       "If the loss is not a finite number, stop, or skip the step"),

	HEADING("Model"),
	INT("layers", model.layers, 1, 10000, "Build N transformer blocks",
	    OLD("num-layers", "num-hidden-layers"), COMMON),
	INT("heads", model.heads, 1, 65536,
	    "Use N attention heads; N must divide --hidden-size", OLD("num-attention-heads"),
	    COMMON),
	INT("hidden-size", model.hidden_size, 1, 1 << 24, "Set the width of the model",
	    OLD("model-dim"), COMMON),
	INT("ffn-size", model.ffn_size, 1, 1 << 24, "Set the width of an expert's hidden layer",
	    OLD("moe-ffn-hidden-size", "intermediate-size"), COMMON),
	REFUSED("hidden", "may mean either width: give --hidden-size for the model's (once "
		"--model-dim), or --ffn-size for an expert's (once --hidden)"),
	INT("experts", model.experts, 1, 1 << 20, "Use N experts in a layer, over all ranks",
	    OLD("num-experts", "num-local-experts"), COMMON),
	INT("top-k", model.top_k, 1, 1 << 20, "Send each token to N experts",
	    OLD("topk", "num-experts-per-tok", "moe-router-topk"), COMMON),
	REAL("capacity-factor", model.capacity_factor, 0, 1e6,
	     "Give each expert X times its even share of the tokens as slots; 0: dropless", COMMON),
	INT("routing-group", model.routing_group, 0, INT_MAX,
	    "Count capacity within groups of N tokens; 0: a rank's tokens of one sequence",
	    OLD("group")),
	INT("vocab-size", model.vocab_size, 1, 1 << 24,
	    "Set the size of the vocabulary; bytes need 256", OLD("vocab")),
	TEXT("gate", model.gate, "NAME", "Choose each token's experts with this gate (router)",
	     COMMON),
	TEXT("order", model.order, "NAME", "Arrange tokens by expert with this order (default the "
	     "first that reads the gate's routing)"),
	TEXT("dispatch", model.dispatch, "NAME",
	     "Move tokens between ranks with this dispatch; auto: the fastest by --profile"),
	TEXT("expert", model.expert, "NAME", "Compute experts with this module"),
	CHOICE("expert-activation", model.expert_activation, "NAME", activations,
	       "Apply gelu or relu between the matrices of expert mlp (default gelu)"),
	FLAG("expert-bias", model.expert_bias, "Add biases in expert mlp"),
	REAL("gate-init-scale", model.gate_opts.init_scale, 0, 1e6,
	     "Scale the scores that the gate starts with by X; 0: by 1", OLD("gate-spread")),
	INT("xmoe-dim", model.gate_opts.xmoe_dim, 0, 1 << 20,
	    "Compute gate xmoe's cosines in N dimensions; 0: half the experts, at least 16",
	    OLD("gate-rank")),
	FLAG("softmoe-normalize", model.gate_opts.softmoe_normalize,
	     "Let gate softmoe use cosines of tokens and slots, with a learned scale",
	     OLD("soft-normalize")),
	REAL("balance-loss", model.gate_opts.balance_loss, 0, 1e6,
	     "Weight the load balance loss (GShard, Switch) by X"),
	REAL("importance-loss", model.gate_opts.importance_loss, 0, 1e6,
	     "Weight the loss on uneven importance and load by X"),
	REAL("z-loss", model.gate_opts.z_loss, 0, 1e6, "Weight the loss on large gate logits by X"),
	CHOICE("drop-policy", model.gate_opts.drop_policy, "WHAT", drops,
	       "Choose which choices a full expert drops: by position, probability or token",
	       OLD("drop")),
	CHOICE("routing-weights", model.gate_opts.routing_weights, "WHAT", weights,
	       "Weight a token's experts by a softmax over the chosen or over all, or by sigmoid "
	       "(default the gate's own)", OLD("weights")),
	FLAG("allow-leak", model.allow_leak,
	     "Accept a gate that looks at later tokens; losses then mean little"),
	FLAG("bidirectional", model.bidirectional,
	     "Let attention see whole sequences; needs --objective=masked, which sets it"),
	FLAG("attention", model.attention, "Build attention (--attention=no is for comparisons)"),
	FLAG("moe", model.moe, "Build experts (--moe=no is for comparisons)", OLD("mixture")),

	HEADING("Training"),
	INT("global-batch", train.global_batch, 1, 1 << 24,
	    "Train on N sequences in each step, over all ranks", OLD("batch", "global-batch-size"),
	    COMMON),
	INT("micro-batches", train.micro_batches, 1, 1 << 20,
	    "Cut each step's batch into N micro-batches", OLD("microbatches")),
	INT("seq-length", model.seq_length, 1, 1 << 24, "Use sequences of N tokens",
	    OLD("seq", "seq-len"), COMMON),
	CHOICE("optimizer", train.optimizer, "NAME", optimizers, "Update weights by adamw or sgd"),
	CHOICE("objective", objective, "WHAT", objectives,
	       "Predict the next token, or masked tokens: 15 % of them, replaced by the "
	       "vocabulary's last, for gates that look at later tokens"),
	REAL("lr", lr, 0, 1e6, "Set the peak learning rate", COMMON),
	INT("warmup-steps", warmup_steps, 0, INT_MAX,
	    "Raise the learning rate linearly over N steps", OLD("warmup", "lr-warmup-iters")),
	REAL("min-lr-ratio", min_lr_ratio, 0, 1,
	     "Lower it by a cosine to X times its peak at the last step; 1: keep it constant",
	     OLD("lr-end")),
	REAL("beta1", train.beta1, 0, 0.999999999, "Set the decay of AdamW's mean",
	     OLD("adam-beta1")),
	REAL("beta2", train.beta2, 0, 0.999999999, "Set the decay of AdamW's mean square",
	     OLD("adam-beta2")),
	REAL("eps", train.eps, 0, 1, "Set AdamW's guard against division by zero",
	     OLD("adam-eps")),
	REAL("weight-decay", train.weight_decay, 0, 1e3,
	     "Set the decoupled weight decay of matrices"),
	REAL("clip-grad-norm", train.clip_grad_norm, 0, 1e9,
	     "Clip the gradient to this norm; 0: do not clip", OLD("clip", "clip-grad")),
	U64("seed", train.seed, "Derive weights, noise and the order of data from N", COMMON),

	HEADING("Layout"),
	INT("nodes", nodes, 0, INT_MAX, "Treat the ranks as N equal nodes; 0: as they are placed",
	    COMMON),
	INT("tp", layout.tp, 0, INT_MAX,
	    "Share a sequence's heads between N ranks (tensor parallelism; MP in the paper); 0: a "
	    "node's ranks", OLD("mp", "tensor-model-parallel-size"), COMMON),
	INT("ep", layout.ep, 0, INT_MAX,
	    "Spread the experts over N ranks; 0: one rank of each node",
	    OLD("expert-model-parallel-size"), COMMON),
	INT("esp", layout.esp, 0, INT_MAX, "Share each expert between N ranks; 0: a node's ranks"),
	INT("dp", layout.dp, 0, INT_MAX,
	    "Give N groups of ranks data of their own; 0: as many as the other sizes leave"),
	INT("forward-degree", model.forward_degree, 1, 1 << 20,
	    "Cut an MoE layer into N chunks in the forward pass"),
	INT("backward-degree", model.backward_degree, 1, 1 << 20,
	    "Cut an MoE layer into N chunks in the backward pass"),

	HEADING("Schedule"),
	TEXT("schedule", schedule, "NAME",
	     "Lay out a step in time by this row of 'fsmoe info', or by a file with a row", COMMON),
	TEXT("profile", profile, "FILE",
	     "Plan degrees and the exchange of gradients by this profile (of 'fsmoe profile'), and "
	     "report tasks that drift from it", COMMON),
	FLAG("replan", replan,
	     "Plan again when tasks drift from the profile, which changes losses by rounding; no: "
	     "only report it"),
	INT("max-degree", max_degree, 1, 4096, "Plan at most N chunks of a layer"),
	TEXT("plan", plan, "FILE", "Follow this plan (of a run, or of 'fsmoe plan --out')"),

	HEADING("Machine"),
	CHOICE("device", runtime.device, "NAME", fsmoe_runtime_devices,
	       "Compute on cpu, or on cuda: a GPU for every rank of a host", COMMON),
	CHOICE("executor", runtime.executor, "NAME", fsmoe_runtime_executors,
	       "Execute by starpu, or on GPUs by stream: CUDA streams without StarPU"),
	CHOICE("dtype", runtime.dtype, "NAME", fsmoe_runtime_dtypes,
	       "Compute in fp32; on GPUs also in tf32, which rounds the factors of products, or "
	       "bf16, for activations and the weights of products: master weights, gradients, "
	       "moments and gates stay fp32", COMMON),
	CHOICE("cta-policy", runtime.cta_policy, "NAME", fsmoe_runtime_cta_policies,
	       "Let NCCL use a GPU's processors by its default or for efficiency, or not at all "
	       "(zero): copy engines then carry AlltoAlls and AllGathers between GPUs that reach "
	       "each other's memory"),
	REAL("peak-tflops", peak_tflops, 0, 1e9,
	     "Compute MFU for GPUs of X TFLOP/s: the operations of linear maps, attention and the "
	     "experts of the tokens that reached them, forward and backward, without padding, over "
	     "seconds x ranks x peak; 0: the peak of --dtype, if it is an A100, H100 or H200",
	     OLD("peak")),
	INT("blas-threads", runtime.blas_threads, 0, 4096,
	    "Use N threads for a rank's matrix products; 0: as many as it has cores"),
	FLAG("bind", runtime.bind, "Bind every rank to cores of its own where there are enough"),
	REAL("emulate-inter-gbs", runtime.emulate_inter_gbs, 0, 1e6,
	     "Delay messages between nodes, on CPUs, as if each rank had a link of X GB/s each "
	     "way; 0: no emulation", OLD("emulate-inter")),
	REAL("emulate-intra-gbs", runtime.emulate_intra_gbs, 0, 1e6,
	     "Delay messages inside a node in the same way", OLD("emulate-intra")),
	REAL("emulate-latency-us", runtime.emulate_latency_us, 0, 1e6,
	     "Add X microseconds to each delayed message", OLD("emulate-latency")),
	REAL("timeout", runtime.timeout, 0, 1e9,
	     "End the job after X seconds without progress; 0: never"),
	TEXT("starpu-sched", runtime.starpu_sched, "NAME",
	     "Use this StarPU scheduling policy (default fsmoe)", OLD("scheduler")),
	{.type = FSMOE_OPTION_END},
};
/* clang-format on */

struct fsmoe_objective fsmoe_train_config_objective(const struct fsmoe_train_config *config)
{
	return (struct fsmoe_objective){.masked = !strcmp(config->objective, "masked"),
					.vocab_size = config->model.vocab_size,
					.seq_length = config->model.seq_length};
}

enum fsmoe_data_format fsmoe_train_config_format(const struct fsmoe_train_config *config)
{
	int i = 0;

	while (formats[i] && strcmp(formats[i], config->data_format))
		i++;
	return (enum fsmoe_data_format)i;
}
