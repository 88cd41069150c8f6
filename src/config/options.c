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
	 .help = "Read a JSON object; its keys are these options, with _ for -",
	 .flags = FSMOE_OPTION_NOT_JSON},
	TEXT("preset", preset, "NAME", "Start from a model with a name"),
	INT("steps", steps, 1, INT_MAX, "Steps to train"),
	TEXT("run", output, "DIR", "Leave metrics.jsonl and log in this directory"),
	TEXT("metrics", metrics, "FILE", "Write a JSON object a step to this file"),
	INT("log-every", log_every, 1, INT_MAX, "Print a line every so many steps"),
	TEXT("events", record_events, "DIR",
	     "Record when every task was ready, started and ended, a file a rank"),
	TEXT("timeline", timeline, "FILE",
	     "Write the last step's timeline of every rank, and with --profile the predicted one, "
	     "for ui.perfetto.dev"),
	INT("timeline-steps", timeline_steps, 1, INT_MAX,
	    "Of so many last steps; those before the last in FILEs with the step's number"),
	FLAG("progress", progress, "Show a bar with the time left; by itself on a terminal"),
	FLAG("quiet", quiet, "Print nothing but failures"),
	TEXT("trace", runtime.trace, "DIR",
	     "Leave StarPU's traces of a few steps in this directory, for ViTE and other tools"),
	TEXT("trace-steps", trace_steps, "A-B", "Those steps; the third and fourth else"),
	FLAG("breakdown", print_breakdown, "At the end, tell where the last step's time went"),

	HEADING("Data"),
	TEXT("data", data, "PATH", "What to train on: a file, a directory (its files without a '.' in their "
				   "names), or a pattern such as 'texts/*.txt'; text is read as bytes, "
				   "*.bin as token numbers"),
	CHOICE("data-format", data_format, "NAME", formats,
	       "auto (llm.c's header is recognized, other *.bin are uint16), bytes, uint16 or llmc"),
	TEXT("val", val, "PATH", "Held-out data; none is then taken from --data"),
	REAL("val-fraction", val_fraction, 0, 0.9, "Last part of --data that is held out"),
	INT("val-every", val_every, 0, INT_MAX,
	    "Measure the held-out loss every so many steps; 0: at the end only"),
	INT("val-samples", val_samples, 0, INT_MAX,
	    "Sequences for that, spread over the held-out part; at the end it is all; 0: all"),

	HEADING("Stopping and going on"),
	TEXT("checkpoint", checkpoint, "DIR", "Save checkpoints in this directory: at the end, when "
					      "stopped by a signal, and every so many steps"),
	INT("checkpoint-every", checkpoint_every, 0, INT_MAX, "Steps from one to the next; 0: none"),
	INT("keep", keep_checkpoints, 1, INT_MAX, "Checkpoints to keep, the newest"),
	TEXT("resume", resume, "PATH", "Go on from a checkpoint; 'latest': the last in --checkpoint, "
				       "if there is one"),
	CHOICE("on-nan", on_nan, "WHAT", on_nan,
	       "When the loss is no finite number: stop, or skip the step"),

	HEADING("Model"),
	INT("layers", model.layers, 1, 10000, "Transformer blocks"),
	INT("heads", model.heads, 1, 65536, "Attention heads; they divide model-dim"),
	INT("model-dim", model.hidden_size, 1, 1 << 24, "Width of a token"),
	INT("hidden", model.ffn_size, 1, 1 << 24, "Width of an expert's hidden layer"),
	INT("experts", model.experts, 1, 1 << 20, "Experts of a layer, over all ranks"),
	INT("topk", model.top_k, 1, 1 << 20, "Experts that each token goes to"),
	REAL("capacity-factor", model.capacity_factor, 0, 1e6,
	     "Slots of an expert over its even share of tokens; 0: nothing is dropped"),
	INT("group", model.routing_group, 0, INT_MAX,
	    "Tokens of a routing group, in which capacity is counted; 0: a rank's tokens of one "
	    "sequence"),
	INT("vocab", model.vocab_size, 1, 1 << 24, "Vocabulary; bytes need 256"),
	TEXT("gate", model.gate, "NAME", "Which experts a token goes to"),
	TEXT("order", model.order, "NAME",
	     "How tokens are laid out by expert; else the first that reads the gate's routing"),
	TEXT("dispatch", model.dispatch, "NAME", "How tokens travel between ranks; auto: as --profile says is fastest"),
	TEXT("expert", model.expert, "NAME", "What an expert computes"),
	CHOICE("expert-activation", model.expert_activation, "NAME", activations,
	       "Of expert gpt, between its matrices: gelu (that if not given) or relu"),
	FLAG("expert-bias", model.expert_bias, "Expert gpt has biases (--expert-bias=no: none)"),
	REAL("gate-spread", model.gate_opts.init_scale, 0, 1e6,
	     "How far apart the gate's scores start, over its own choice; 0: 1"),
	INT("gate-rank", model.gate_opts.xmoe_dim, 0, 1 << 20,
	    "Of gate xmoe: width of the space of its cosines; 0: half the experts, 16 at least"),
	FLAG("soft-normalize", model.gate_opts.softmoe_normalize,
	     "Of gate softmoe: cosines of tokens and slots, with a learned scale"),
	REAL("balance-loss", model.gate_opts.balance_loss, 0, 1e6,
	     "Weight of the loss of uneven experts (GShard, Switch)"),
	REAL("importance-loss", model.gate_opts.importance_loss, 0, 1e6,
	     "Weight of the loss of uneven importance and load"),
	REAL("z-loss", model.gate_opts.z_loss, 0, 1e6, "Weight of the loss of large gate logits"),
	CHOICE("drop", model.gate_opts.drop_policy, "WHAT", drops,
	       "Who gives way when an expert is full: by position, probability or token"),
	CHOICE("weights", model.gate_opts.routing_weights, "WHAT", weights,
	       "What the weights of a token's experts are made of: the chosen, all, or sigmoid; "
	       "the gate's own else"),
	FLAG("allow-leak", model.allow_leak,
	     "Take a gate that looks at later tokens: losses then mean little"),
	FLAG("bidirectional", model.bidirectional,
	     "Attention sees whole sequences: what --objective=masked sets, and nothing else takes"),
	FLAG("attention", model.attention, "Blocks have attention (--attention=no: to compare)"),
	FLAG("mixture", model.moe, "Blocks have experts (--mixture=no: to compare)"),

	HEADING("Training"),
	INT("batch", train.global_batch, 1, 1 << 24, "Sequences of a step, over all ranks"),
	INT("microbatches", train.micro_batches, 1, 1 << 20, "Parts that a step's batch is cut in"),
	INT("seq", model.seq_length, 1, 1 << 24, "Tokens of a sequence"),
	CHOICE("optimizer", train.optimizer, "NAME", optimizers, "adamw or sgd"),
	CHOICE("objective", objective, "WHAT", objectives,
	       "Predict the next token; or masked: 15 % of the tokens, hidden behind the "
	       "vocabulary's last, for gates that look at later ones"),
	REAL("lr", lr, 0, 1e6, "Learning rate"),
	INT("warmup", warmup_steps, 0, INT_MAX, "Steps in which the learning rate grows to its value"),
	REAL("lr-end", min_lr_ratio, 0, 1,
	     "Part of it left at the last step, reached by a cosine; 1: it stays"),
	REAL("beta1", train.beta1, 0, 0.999999999, "Decay of AdamW's mean"),
	REAL("beta2", train.beta2, 0, 0.999999999, "Decay of AdamW's mean square"),
	REAL("eps", train.eps, 0, 1, "AdamW's guard against division by zero"),
	REAL("weight-decay", train.weight_decay, 0, 1e3, "Decoupled weight decay of matrices"),
	REAL("clip", train.clip_grad_norm, 0, 1e9, "Largest norm of the gradient; 0: any"),
	U64("seed", train.seed, "Weights, noise and the order of data follow from it"),

	HEADING("Layout"),
	INT("nodes", nodes, 0, INT_MAX, "Treat the ranks as this many equal nodes; 0: as they are"),
	INT("mp", layout.tp, 0, INT_MAX, "Ranks that share a sequence's heads; 0: a node's"),
	INT("ep", layout.ep, 0, INT_MAX, "Ranks that the experts are spread over; 0: one of a node"),
	INT("esp", layout.esp, 0, INT_MAX, "Ranks that share each expert; 0: a node's"),
	INT("dp", layout.dp, 0, INT_MAX, "Ranks with data of their own; 0: what is left"),
	INT("forward-degree", model.forward_degree, 1, 1 << 20,
	    "Chunks of an MoE layer in the forward pass"),
	INT("backward-degree", model.backward_degree, 1, 1 << 20,
	    "Chunks of an MoE layer in the backward pass"),

	HEADING("Schedule"),
	TEXT("schedule", schedule, "NAME",
	     "How a step is laid out in time: a row of 'fsmoe info', or a file with one"),
	TEXT("profile", profile, "FILE",
	     "What tasks cost here (of 'fsmoe profile'): degrees and the exchange of gradients are "
	     "planned with it, and tasks that drift from it are told"),
	FLAG("replan", replan,
	     "Plan anew when tasks drift from the profile; losses then change by rounding "
	     "(--replan=no: only tell)"),
	INT("max-degree", max_degree, 1, 4096, "Most chunks of a layer in such a plan"),
	TEXT("plan", plan, "FILE", "Do as this plan says (of a run, or of 'fsmoe plan --out')"),

	HEADING("Machine"),
	CHOICE("device", runtime.device, "NAME", fsmoe_runtime_devices,
	       "cpu, or cuda: a GPU for every rank of a host"),
	CHOICE("executor", runtime.executor, "NAME", fsmoe_runtime_executors,
	       "starpu, or on GPUs stream: CUDA streams without StarPU"),
	CHOICE("dtype", runtime.dtype, "NAME", fsmoe_runtime_dtypes,
	       "fp32; on GPUs also tf32: products round their factors, or bf16: activations and "
	       "weights of products are bf16, weights proper, their gradients, moments and gates "
	       "stay fp32"),
	CHOICE("cta-policy", runtime.cta_policy, "NAME", fsmoe_runtime_cta_policies,
	       "What NCCL takes of a GPU's processors: default, efficiency, or zero: copy engines "
	       "carry AlltoAlls and AllGathers between GPUs that reach each other's memory"),
	REAL("peak", peak_tflops, 0, 1e9,
	     "Peak of a GPU's matrix products in TFLOP/s, for MFU = operations of linear maps, "
	     "attention and the experts of the tokens that reached them, forward and backward, "
	     "without padding, over seconds x ranks x peak; 0: that of --dtype, as known for A100, "
	     "H100, H200"),
	INT("blas-threads", runtime.blas_threads, 0, 4096,
	    "Threads of a rank's matrix products; 0: as many as it has cores"),
	FLAG("bind", runtime.bind, "Give every rank cores of its own where there are enough"),
	REAL("emulate-inter", runtime.emulate_inter_gbs, 0, 1e6,
	     "Let messages between nodes take as long as over a link of X GB/s of a rank each way, "
	     "on CPUs; 0: links are what they are"),
	REAL("emulate-intra", runtime.emulate_intra_gbs, 0, 1e6, "The same of messages inside a node"),
	REAL("emulate-latency", runtime.emulate_latency_us, 0, 1e6, "Microseconds of such a message"),
	REAL("timeout", runtime.timeout, 0, 1e9,
	     "Seconds without progress after which the job is ended; 0: never"),
	TEXT("scheduler", runtime.starpu_sched, "NAME", "A StarPU scheduling policy; fsmoe's own else"),
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
