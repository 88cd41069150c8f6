/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_OP_H
#define FSMOE_OP_H

#include <fsmoe/graph.h>

/*
 * An operation is a row: name, ports with access modes, kernels, formula of its work, and how
 * to differentiate it. The built-in rows stand in codelets/; a program may have rows of its own
 * and append nodes of them: no registration is needed, a node holds a pointer to its row.
 *
 * What happens to a row, in order:
 *   check   while the graph is built, once per node, on the building thread: arguments, letters
 *           that they fix, and shapes that letters cannot express; may be NULL; failure ends
 *           building with its sentence. Element types have been checked, letters are not yet.
 *   grad    while fsmoe_graph_backward walks, on the building thread; NULL: no gradient flows
 *   work    by the cost model, any thread
 *   cpu[r]  the kernel, on the thread of a lane (or of the execute walker), after everything
 *           the node reads was written and before anyone else touches what it writes; r is
 *           FSMOE_F32 or FSMOE_F64. It must write only through ports that say so, write all of
 *           a port that says FSMOE_W, allocate nothing that outlives it, and may not call
 *           StarPU. Returns 0 or fsmoe_fail(...): the step then fails with that sentence.
 *   cuda    the float kernel on a GPU, under the same rules: addresses are the device's, work is
 *           enqueued on the given stream and the function returns without waiting. It may not
 *           allocate, free or synchronise. What goes wrong on the device is told through
 *           `fault`. NULL: there is none, and the node runs on the host.
 *   cuda_bf16  the same for a bf16 run, in which FSMOE_WIDE tensors and whatever belongs to
 *           parameters are float. What writes a parameter writes its copy too.
 *   cuda_scratch  bytes of device memory that these need besides their ports, from the shapes
 *           and `real` alone: every address of the call is NULL, also of ports that are there;
 *           NULL: none
 */

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A port's shape is a text of words, one space between them. Letters have one extent in all ports
 * of an operation descriptor; fsmoe_graph_append checks every node against them.
 *   "n"          one word: so many elements, in any dimensions
 *   "T M"        two words: a matrix; all dimensions but the last together are its rows
 *   "P E c M"    more words: exactly these dimensions
 *   "..."        anything
 * A word is a sum of products of letters and numbers, "3*H*D" or "d+1", or "_", any extent. A
 * letter is known from the first port that has it, or from the arguments by fsmoe_check_letter in
 * the operation's `check`. Absent optional tensors say nothing; every tensor of a FSMOE_MANY port
 * has the shape. A port without a shape is left to `check`, its element type too.
 */
struct fsmoe_port
{
	const char *name;
	enum fsmoe_mode mode;
	int flags;
	const char *shape; /* letters, or NULL */
};
#define FSMOE_OPTIONAL 1 /* the tensor may be FSMOE_NONE (data pointer NULL) */
#define FSMOE_MANY     2 /* any number of tensors, in order */
#define FSMOE_SCRATCH  4 /* written first, then read, by the kernel itself: no value leaves */
/* Of a chunk that goes by counts (fsmoe/module.h) only the rows that there are are written; nobody
 * reads the others. */
#define FSMOE_ROWS 64
/* What cuda_bf16 expects of a port of reals: bf16, unless */
#define FSMOE_FLOAT  8  /* float: FSMOE_WIDE, a parameter or what belongs to one */
#define FSMOE_EITHER 16 /* either: the kernel looks */
#define FSMOE_WEIGHT 32 /* bf16, of a parameter its copy */
/* Elements are reals of the run type, unless */
#define FSMOE_INTS     256 /* int32 */
#define FSMOE_ANY_TYPE 512 /* either, the same in all ports that say so */
/* Of a sum: the CUDA kernels can write where they would add to zeros (struct fsmoe_call, fresh). */
#define FSMOE_FRESH 128

/* One line of the cost model per kind; also what traces are coloured by. */
enum fsmoe_kind
{
	FSMOE_KIND_GEMM,      /* flops */
	FSMOE_KIND_EXPERT,    /* flops */
	FSMOE_KIND_ATTENTION, /* flops */
	FSMOE_KIND_MEMORY,    /* bytes that are copied or added: order, residuals, optimizer */
	FSMOE_KIND_REDUCTION, /* bytes that are summed over: norms, softmaxes, losses */
	FSMOE_KIND_GATE,      /* flops */
	FSMOE_KIND_ROUTING,   /* bytes of scores: who goes where, and losses of that */
	FSMOE_KIND_ALLTOALL,  /* from here on: bytes, and a communication lane */
	FSMOE_KIND_ALLGATHER,
	FSMOE_KIND_REDUCE_SCATTER,
	FSMOE_KIND_ALLREDUCE,
	FSMOE_KIND_BROADCAST,
	FSMOE_KIND_STAGE, /* of no row, but of a node: fsmoe_node_cost_kind */
	FSMOE_NKINDS
};
const char *fsmoe_kind_name(enum fsmoe_kind kind); /* "gemm", "alltoall", ... */
#define FSMOE_KIND_IS_COMM(kind) ((kind) >= FSMOE_KIND_ALLTOALL)

struct fsmoe_letters;    /* extents of letters; src/graph/shapes.c */
struct fsmoe_comm;       /* a communicator; src/comm/comm.h */
struct fsmoe_fresh_node; /* what was zero and is now written; src/graph/fresh.h */

/* What a kernel gets. */
struct fsmoe_call
{
	const struct fsmoe_node *node;
	const void *args;
	void *const *data; /* an address per access of the node */
	void *const *copy; /* of a parameter in a bf16 run, its copy in bf16; else NULL */
	enum fsmoe_real real;
	const struct fsmoe_tensor_info *const *tensor; /* shapes, per access; NULL where absent */
	int n;
	struct fsmoe_comm *comm;              /* of a communication: its group's communicator */
	const struct fsmoe_fresh_node *fresh; /* on GPUs; NULL: nothing is to be written */
	const struct fsmoe_step *step;
};

typedef int (*fsmoe_kernel_fn)(const struct fsmoe_call *call);

struct fsmoe_cuda_fault; /* codelets/cuda/fault.h */
struct fsmoe_products;   /* codelets/cuda/product.h */

/* What a CUDA kernel gets besides. One stream, handle and scratch belong to one lane: nobody else
 * uses them until what was enqueued before is done. */
struct fsmoe_cuda
{
	struct CUstream_st *stream;      /* a cudaStream_t */
	struct cublasContext *cublas;    /* a cublasHandle_t on that stream, with its workspace */
	struct fsmoe_products *products; /* of the compute lane, like cublas */
	struct fsmoe_cuda_fault *fault;  /* in device memory */
	void *scratch;                   /* aligned to 256 bytes */
	size_t scratch_bytes;
};

typedef int (*fsmoe_cuda_fn)(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda);

/* Seen while building: shapes per access, NULL where absent. */
struct fsmoe_check
{
	fsmoe_graph_t graph;
	const struct fsmoe_op *op;
	const void *args;
	const struct fsmoe_access *access;
	const struct fsmoe_tensor_info *const *tensor;
	int n;
	struct fsmoe_letters *letters;
};

/* For check functions: the arguments fix this letter's extent. */
void fsmoe_check_letter(const struct fsmoe_check *check, char letter, size_t extent);

struct fsmoe_backward; /* a walk of fsmoe_graph_backward */

struct fsmoe_op
{
	const char *name; /* as in traces: "layer_norm", "layer_norm.backward" */
	const char *doc;  /* one line */
	enum fsmoe_kind kind;
	const struct fsmoe_port *ports;
	int nports;
	int (*check)(const struct fsmoe_check *check);
	/* Flops of compute kinds, bytes (of one rank's larger buffer) of communication. */
	double (*work)(const void *args, const struct fsmoe_tensor_info *const *tensor, int n);
	int (*grad)(struct fsmoe_backward *backward, const struct fsmoe_node *node);
	/* Of a communication: which group, from its arguments. */
	enum fsmoe_group (*group)(const void *args);
	fsmoe_kernel_fn cpu[FSMOE_NREALS];
	fsmoe_cuda_fn cuda, cuda_bf16;
	size_t (*cuda_scratch)(const struct fsmoe_call *call);
};
#define FSMOE_PORTS(array) .ports = (array), .nports = (int)(sizeof(array) / sizeof((array)[0]))

/* The i-th operation of the library, in no particular order; NULL past the last. */
const struct fsmoe_op *fsmoe_op_at(int i);

/* Which line of the cost model a node goes by: its row's kind, but FSMOE_KIND_STAGE of a part of an
 * AlltoAll that is made in stages, within a node or among equal places of nodes. */
enum fsmoe_kind fsmoe_node_cost_kind(const struct fsmoe_node *node);

/* The n of the cost model: what the operation's `work` says of a node; 0 without one. `tensors`
 * are those of its graph (fsmoe_graph_tensors). */
double fsmoe_node_work(const struct fsmoe_node *node, const struct fsmoe_tensor_info *tensors);

/* For builders outside of the library: after fsmoe_fail(...), keeps that sentence and `status`, a
 * negative errno, as the graph's first failure; later ones change nothing. Returns the status. */
int fsmoe_graph_fail(fsmoe_graph_t graph, int status);

/*
 * For grad functions. `node` is a copy that stays valid while its grad runs.
 *   graph   where to append
 *   out     the gradient that has arrived at an output of the node, as one tensor; FSMOE_NONE
 *           if none did
 *   wants   1 when a gradient of this input is of use to anyone
 *   param   of a parameter: the tensor to accumulate into (+=); else FSMOE_NONE
 *   give    hands over a gradient of an input; several gifts to one tensor are summed in the
 *           order given; a gift must not be written after
 */
fsmoe_graph_t fsmoe_backward_graph(struct fsmoe_backward *backward);
fsmoe_tensor_t fsmoe_backward_out(struct fsmoe_backward *backward, fsmoe_tensor_t output);
int fsmoe_backward_wants(struct fsmoe_backward *backward, fsmoe_tensor_t input);
fsmoe_tensor_t fsmoe_backward_param(struct fsmoe_backward *backward, fsmoe_tensor_t param);
void fsmoe_backward_give(struct fsmoe_backward *backward, fsmoe_tensor_t input,
			 fsmoe_tensor_t gradient);

/*
 * A region: the nodes appended between begin and end are differentiated by one function,
 * for builders that lay out their backward themselves (the MoE layer: its own degree, chunk
 * order and lanes). `args` (plain data) is copied. Regions do not nest. Only tensors
 * written inside the region and read outside of it are its outputs.
 */
typedef int (*fsmoe_region_grad_fn)(struct fsmoe_backward *backward, const void *args);
void fsmoe_graph_region_begin(fsmoe_graph_t graph, const char *name);
void fsmoe_graph_region_end(fsmoe_graph_t graph, fsmoe_region_grad_fn grad, const void *args,
			    size_t args_size);

#ifdef __cplusplus
}
#endif
#endif
