/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_GRAPH_H
#define FSMOE_GRAPH_H

#include <fsmoe/real.h>
#include <fsmoe/schedule.h>
#include <fsmoe/topo.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * A training step as an inert graph: nodes that name an operation, its arguments and the
 * tensors it reads and writes. Nobody writes "A before B": order follows from the accesses by
 * the rule of sequential consistency (a reader comes after the last writer before it, a writer
 * after every reader and writer before it), which is the rule StarPU applies too.
 *
 * The graph is data. Small walkers interpret it: execute (below), submit (fsmoe/runtime.h),
 * simulate and export (below).
 *
 * Building never needs an error check at every line: the first failure is kept, later calls do
 * nothing and return FSMOE_NONE, and fsmoe_graph_status() tells at the end.
 *
 * Gradients, stated once: gradients of parameters accumulate (+=), gradients of activations
 * overwrite (=).
 */

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fsmoe_graph *fsmoe_graph_t;
typedef int fsmoe_tensor_t; /* index of a tensor in its graph */
#define FSMOE_NONE (-1)

/* In a bf16 run parameters, their gradients and state are float, and a parameter has a copy in
 * bf16 beside it for matrix products, which whoever writes the parameter writes too. */
enum fsmoe_dtype
{
	FSMOE_REAL,  /* float, double or bf16, chosen by who runs the graph */
	FSMOE_INT32, /* tokens, expert numbers, slots */
	FSMOE_WIDE, /* as FSMOE_REAL, but float in a bf16 run: what a gate makes, losses, moments */
};

enum fsmoe_role
{
	FSMOE_ACTIVATION,
	FSMOE_INPUT, /* filled from outside before a step: tokens, targets */
	FSMOE_PARAM, /* persistent: a parameter, or a bucket of them */
	FSMOE_GRAD,  /* persistent within a step: gradient of a parameter or bucket */
	FSMOE_STATE, /* persistent: moments of the optimizer */
};

enum fsmoe_mode
{
	FSMOE_UNUSED = 0,
	FSMOE_R = 1,
	FSMOE_W = 2, /* writes every element, whatever was there */
	FSMOE_RW = 3,
};

enum fsmoe_phase
{
	FSMOE_FORWARD,
	FSMOE_BACKWARD,
	FSMOE_UPDATE,
	FSMOE_NPHASES
};

#define FSMOE_MAX_DIMS 4
struct fsmoe_shape
{
	int ndim; /* 0 .. FSMOE_MAX_DIMS; row-major, last dimension contiguous */
	size_t dim[FSMOE_MAX_DIMS];
};

static inline size_t fsmoe_shape_count(const struct fsmoe_shape *shape)
{
	size_t n = 1;
	for (int i = 0; i < shape->ndim; i++)
		n *= shape->dim[i];
	return n;
}

#define FSMOE_SHAPE1(a)          ((struct fsmoe_shape){1, {(a)}})
#define FSMOE_SHAPE2(a, b)       ((struct fsmoe_shape){2, {(a), (b)}})
#define FSMOE_SHAPE3(a, b, c)    ((struct fsmoe_shape){3, {(a), (b), (c)}})
#define FSMOE_SHAPE4(a, b, c, d) ((struct fsmoe_shape){4, {(a), (b), (c), (d)}})

enum fsmoe_init
{
	FSMOE_INIT_ZERO,
	FSMOE_INIT_ONE,
	FSMOE_INIT_NORMAL, /* standard deviation `scale`; a pure function of (seed, name,
				      global index) */
};

/*
 * A parameter: its global shape, and which part of it this rank holds. Dimension d is cut
 * into parts[d] equal parts (0 and 1: not cut) of which this rank holds part index[d].
 */
struct fsmoe_param_spec
{
	const char *name;
	struct fsmoe_shape global;
	int parts[FSMOE_MAX_DIMS], index[FSMOE_MAX_DIMS];
	enum fsmoe_group reduce; /* the group over which its gradient is summed */
	enum fsmoe_init init;
	double scale;
	int decay; /* 1: weight decay applies (matrices, not norms and biases) */
};

/* What the graph knows of a tensor. A view has base != its own index: `offset` elements
 * into that tensor's memory. Dependencies are those of the base. */
struct fsmoe_tensor_info
{
	char *name;
	enum fsmoe_role role;
	enum fsmoe_dtype dtype;
	struct fsmoe_shape shape;
	fsmoe_tensor_t base;
	size_t offset;       /* elements */
	fsmoe_tensor_t grad; /* of a parameter: its gradient's tensor; else FSMOE_NONE */
	int param;           /* of a parameter: its number in fsmoe_graph_params(); else -1 */
	int layer;
};

struct fsmoe_op; /* fsmoe/op.h */

struct fsmoe_access
{
	fsmoe_tensor_t tensor; /* FSMOE_NONE: an optional one that is absent */
	short port;            /* which of the operation's ports */
	short mode;            /* enum fsmoe_mode, copied from the port */
};

struct fsmoe_node
{
	const struct fsmoe_op *op;
	const void *args; /* the graph's copy */
	const struct fsmoe_access *access;
	int naccess;
	enum fsmoe_lane lane;
	/* Of a communication: intra or inter, by what its group spans, whichever lane the schedule
	 * puts it on. This is what it costs by; FSMOE_COMPUTE of all else. */
	enum fsmoe_lane span;
	enum fsmoe_phase phase;
	int layer, micro_batch, chunk; /* -1: none */
	int seq;      /* place in its communication lane's fixed order, from 0; -1 on the compute
			    lane */
	int priority; /* on the compute lane: greater goes first among the ready */
	int id;       /* index in program order */
	/* FSMOE_NONE, or a tensor that counts as read and written here, though the kernel does not
	 * touch it: whoever reads it later waits for this node too. */
	fsmoe_tensor_t delays;
};

/* groups may be NULL (one rank); kept by reference. */
int fsmoe_graph_create(fsmoe_graph_t *graph, fsmoe_groups_t groups);
void fsmoe_graph_destroy(fsmoe_graph_t graph);
/* 0, or the first failure while building; its sentence becomes this thread's last error. */
int fsmoe_graph_status(fsmoe_graph_t graph);
fsmoe_groups_t fsmoe_graph_groups(fsmoe_graph_t graph);

/*
 * How the graph is to be laid out in time: a row of fsmoe/schedule.h, copied, checked, before
 * anything is appended. Its columns say on which lane communication of which span goes, in which
 * order chunks are appended and when the gradients of the experts' weights are. Without one: a
 * lane for either span, weight gradients deferred. -EINVAL: no row, or too late.
 */
struct fsmoe_schedule; /* fsmoe/schedule.h */
int fsmoe_graph_set_schedule(fsmoe_graph_t graph, const struct fsmoe_schedule *schedule);
const struct fsmoe_schedule *fsmoe_graph_schedule(fsmoe_graph_t graph);
/* Chunks of the MoE layers that are appended under this label of layer from now on, whatever their
 * builders ask for; 0: as they ask. */
int fsmoe_graph_set_degrees(fsmoe_graph_t graph, int layer, int forward, int backward);

/* Labels of what is appended from now on. */
void fsmoe_graph_set_layer(fsmoe_graph_t graph, int layer);
void fsmoe_graph_set_micro_batch(fsmoe_graph_t graph, int micro_batch);
void fsmoe_graph_set_chunk(fsmoe_graph_t graph, int chunk);
void fsmoe_graph_set_phase(fsmoe_graph_t graph, enum fsmoe_phase phase);
void fsmoe_graph_set_priority(fsmoe_graph_t graph, int priority);

/* Tensors. Names are printf formats; they need not be unique except for parameters. */
fsmoe_tensor_t fsmoe_graph_activation(fsmoe_graph_t graph, enum fsmoe_dtype dtype,
				      struct fsmoe_shape shape, const char *name, ...)
	__attribute__((format(printf, 4, 5)));
fsmoe_tensor_t fsmoe_graph_input(fsmoe_graph_t graph, enum fsmoe_dtype dtype,
				 struct fsmoe_shape shape, const char *name, ...)
	__attribute__((format(printf, 4, 5)));
fsmoe_tensor_t fsmoe_graph_state(fsmoe_graph_t graph, struct fsmoe_shape shape, const char *name,
				 ...) __attribute__((format(printf, 3, 4)));
/* The parameter of that name: made at the first call, found again at later ones (other
 * micro-batches). Parameters of one layer that are reduced over the same group and
 * replicated equally often lie in one bucket; the result is a view of it with the local
 * shape. -EINVAL: a dimension that its parts do not divide, or another shape under the same
 * name. */
fsmoe_tensor_t fsmoe_graph_param(fsmoe_graph_t graph, const struct fsmoe_param_spec *spec);
/* A view of n elements from `offset` on, with the given shape. */
fsmoe_tensor_t fsmoe_graph_view(fsmoe_graph_t graph, fsmoe_tensor_t tensor, size_t offset,
				struct fsmoe_shape shape);
/* Find by name: an input, a parameter or a state; FSMOE_NONE when absent. */
fsmoe_tensor_t fsmoe_graph_find(fsmoe_graph_t graph, const char *name);

/* The one way to add a node. `args` (args_size bytes, plain data) is copied; the accesses'
 * modes come from the operation's ports. Returns the node's number, or FSMOE_NONE. */
int fsmoe_graph_append(fsmoe_graph_t graph, const struct fsmoe_op *op, const void *args,
		       size_t args_size, const struct fsmoe_access *access, int naccess);

/* An auxiliary loss (one element, already weighted): the next fsmoe_graph_backward
 * differentiates it along with the loss that it is given. */
void fsmoe_graph_add_loss(fsmoe_graph_t graph, fsmoe_tensor_t loss);
/* All auxiliary losses so far, in order. */
const fsmoe_tensor_t *fsmoe_graph_losses(fsmoe_graph_t graph, int *n);

/*
 * Appends the backward of everything that leads to `loss` (one element) and to the auxiliary
 * losses added since the last call, in reverse, with the gradients of parameters accumulated. A
 * region (fsmoe/op.h) is differentiated as a whole.
 */
int fsmoe_graph_backward(fsmoe_graph_t graph, fsmoe_tensor_t loss);

/* Reading a graph. Pointers are valid until the next append. */
const struct fsmoe_node *fsmoe_graph_nodes(fsmoe_graph_t graph, int *n);
const struct fsmoe_tensor_info *fsmoe_graph_tensors(fsmoe_graph_t graph, int *n);
/* Parameters in order of creation. Of each: its spec (strings owned by the graph), its
 * view. */
struct fsmoe_param
{
	struct fsmoe_param_spec spec;
	fsmoe_tensor_t tensor;
	fsmoe_tensor_t bucket;
	int replicas; /* ranks that hold the same part */
};
const struct fsmoe_param *fsmoe_graph_params(fsmoe_graph_t graph, int *n);

/* Direct predecessors of every node by the rule above: node i's are pred[first[i]] ..
 * pred[first[i+1] - 1], ascending. The caller frees both arrays. */
int fsmoe_graph_edges(fsmoe_graph_t graph, int **first, int **pred);

/* A label for people: "layer_norm.backward L3 m0 c1": operation, phase unless it is forward, layer,
 * micro-batch, chunk. Returns what snprintf would. */
int fsmoe_node_label(const struct fsmoe_node *node, char *buffer, size_t size);
const char *fsmoe_phase_name(enum fsmoe_phase phase);

/* --- memory: where the tensors of a graph live -------------------------------------------
 */

typedef struct fsmoe_memory *fsmoe_memory_t;

/* Allocates every tensor of the graph. Persistent tensors (parameters, gradients, state)
 * that `share` holds under the same name are taken from there; share may be NULL, and must
 * outlive the result. -ENOMEM says how much was asked for. */
int fsmoe_memory_create(fsmoe_memory_t *memory, fsmoe_graph_t graph, enum fsmoe_real real,
			fsmoe_memory_t share);
void fsmoe_memory_destroy(fsmoe_memory_t memory);
/* The tensor's address on this host; its element type is `real`, or int32_t. */
void *fsmoe_memory_data(fsmoe_memory_t memory, fsmoe_tensor_t tensor);
size_t fsmoe_memory_bytes(fsmoe_memory_t memory);
enum fsmoe_real fsmoe_memory_real(fsmoe_memory_t memory);
/* Fills every parameter of the graph by its spec: equal on every layout for equal seeds. */
int fsmoe_memory_init_params(fsmoe_memory_t memory, uint64_t seed);

/* --- walkers
 * ------------------------------------------------------------------------------ */

/* What changes from step to step; read by operations that need it. */
struct fsmoe_step
{
	uint64_t step; /* from 1; 0: evaluation, without the noise of training */
	uint64_t seed;
	double lr;
};

/* Runs the nodes one after another on this thread: the reference. Blocks; collective when
 * the graph communicates. comms may be NULL for a graph that does not. */
int fsmoe_graph_execute(fsmoe_graph_t graph, fsmoe_memory_t memory, fsmoe_comms_t comms,
			const struct fsmoe_step *step);

/* A timeline: when each node starts and ends, in seconds from 0. */
struct fsmoe_timeline
{
	int n;
	double *ready, *start, *end; /* by node: all it needs is there; it runs; it has ended */
	/* When the executor was given it; NaN: nobody noted. NULL: of a simulation, where all are
	 * there from the start. */
	double *submitted;
	double makespan;
	double busy[FSMOE_NLANES];
};

/* Places the nodes on lanes, `capacity` at a time each (NULL: 1), every node as long as
 * `seconds(node, arg)` says. Compute: highest priority first among the ready;
 * communication: in sequence order. Free with fsmoe_timeline_destroy. */
int fsmoe_graph_simulate(fsmoe_graph_t graph,
			 double (*seconds)(const struct fsmoe_node *node, void *arg), void *arg,
			 const int *capacity, struct fsmoe_timeline *timeline);
void fsmoe_timeline_destroy(struct fsmoe_timeline *timeline);

/* How long each node held its lane, by node: until its end from when it was ready and its lane
 * free, so with what it takes to be chosen and started. What the cost model's lines are of. */
int fsmoe_timeline_held(const struct fsmoe_timeline *timeline, fsmoe_graph_t graph,
			double *seconds);

/* Exposed communication: seconds in which a lane of communication is busy and none that
 * computes. */
int fsmoe_timeline_exposed(const struct fsmoe_timeline *timeline, fsmoe_graph_t graph,
			   double *seconds);

/* A timeline with a name: of a rank, or predicted. */
struct fsmoe_track
{
	const char *name;
	const struct fsmoe_timeline *timeline;
};

/* Writes timelines of a graph in the JSON that chrome://tracing and ui.perfetto.dev read: a
 * process a track, a thread a lane, a slice a node; microseconds. Under "fsmoe" it has the graph's
 * edges and the members of its process groups (doc/formats.md). The tracks of ranks come first, by
 * rank. -EINVAL: a timeline of another number of nodes; -EIO. */
int fsmoe_timeline_write_perfetto(FILE *file, fsmoe_graph_t graph, const struct fsmoe_track *track,
				  int tracks);

/* Writes the graph as "dot", "json" or "text". -EINVAL names the formats there are. */
int fsmoe_graph_export(fsmoe_graph_t graph, FILE *file, const char *format);

#ifdef __cplusplus
}
#endif
#endif
