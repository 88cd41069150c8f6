/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TESTS_OPCASE_H
#define FSMOE_TESTS_OPCASE_H

#include <fsmoe.h>
#include <fsmoe/op.h>

/*
 * One table of cases drives every test of an operation. A case names a builder, the sizes to
 * build it at, and plain loops that say what must come out. From that the harness makes, for
 * each case and size:
 *
 *   forward   the graph executed in double, against the plain loops
 *   gradient  fsmoe_graph_backward against central finite differences in double, for every
 *             leaf; gradients of parameters must accumulate on what was there
 *   float     the float kernels against the double ones, values and gradients
 *   access    every node of forward and backward: what a kernel reads and writes is what its
 *             row declares (see opcase_observe)
 *   mutants   every row in use with the mode of one port flipped: the access test must object
 *
 * Use:
 *	static const size_t sizes[][OPCASE_MAX_SIZES] = {{1, 1, 1}, {7, 3, 5}};
 *	static const struct opcase cases[] = {
 *		{"linear", build_linear, expect_linear, OPCASE_SIZES(sizes)},
 *	};
 *	int main(void) { return opcase_main("ops", cases, sizeof(cases) / sizeof(cases[0])); }
 */

#define OPCASE_MAX_SIZES    8
#define OPCASE_MAX_LEAVES   16
#define OPCASE_MAX_OUTS     8
#define OPCASE_SIZES(array) .sizes = (array), .nsizes = (int)(sizeof(array) / sizeof((array)[0]))

struct opcase_graph; /* a graph being built from a case */

/* Arguments of the plain loops: leaves in the order in which they were made, as double (tokens as
 * int32_t in `ints`), and the arrays to fill, in the order of outputs. */
struct opcase_values
{
	const size_t *size;
	const double *real[OPCASE_MAX_LEAVES];
	const int32_t *ints[OPCASE_MAX_LEAVES];
	double *out[OPCASE_MAX_OUTS];
	size_t count[OPCASE_MAX_OUTS];
};

struct opcase
{
	const char *name;
	/* Makes leaves, appends the forward, returns the output that is differentiated. */
	fsmoe_tensor_t (*build)(struct opcase_graph *og, const size_t *size);
	/* Fills out[0] (what build returned) and out[1..] (opcase_also); NULL: no forward test. */
	void (*expect)(const struct opcase_values *values);
	const size_t (*sizes)[OPCASE_MAX_SIZES];
	int nsizes;
	int flags;
	double inner;  /* a number of this size is rounded to float on the way, and the results of
			 a float run are off by that; 0: none */
	uint64_t seed; /* of the noise; to keep a case away from ties and kinks */
	/* Nodes of the graph that are tested for access and mutants; NULL: all of them. For cases
	 * that need operations tested elsewhere. */
	int (*covers)(const struct fsmoe_op *op);
};
#define OPCASE_NO_GRADIENT 1 /* the operation has none: forward, float, access, mutants only */
#define OPCASE_LARGE       2 /* too large for finite differences, which run once an element */

/* --- for build functions ------------------------------------------------------------------ */

fsmoe_graph_t opcase_graph(struct opcase_graph *og);
/* Leaves are real, uniform noise in lo .. hi, and want a gradient; the values are floats, so that
 * the float and the double run start from the same numbers. An activation, for inputs whose
 * gradient is given, or a parameter, for those whose gradient is accumulated. */
fsmoe_tensor_t opcase_activation(struct opcase_graph *og, struct fsmoe_shape shape, double lo,
				 double hi);
fsmoe_tensor_t opcase_param(struct opcase_graph *og, struct fsmoe_shape shape, double lo,
			    double hi);
/* A parameter that the builder under test made itself under that name becomes the next leaf. */
void opcase_adopt(struct opcase_graph *og, const char *param, double lo, double hi);
/* Persistent memory that no gradient flows to (moments, accumulators). */
fsmoe_tensor_t opcase_state(struct opcase_graph *og, struct fsmoe_shape shape, double lo,
			    double hi);
/* An int32 leaf, uniform in lo .. hi - 1. */
fsmoe_tensor_t opcase_ints(struct opcase_graph *og, struct fsmoe_shape shape, int lo, int hi);
/* A further output to compare with out[1], out[2], ... */
void opcase_also(struct opcase_graph *og, fsmoe_tensor_t tensor);

/* --- the one place where tolerances are made ---------------------------------------------- */

/* How far two correct results of elements around `magnitude` may differ when each is a sum of
 * `length` rounded terms. */
double opcase_tolerance(enum fsmoe_real real, size_t length, double magnitude);
/* For a derivative by finite differences, in double, of a function around `magnitude`. */
double opcase_difference_step(void);
double opcase_difference_tolerance(size_t length, double magnitude);

/* Noise in 0 .. 1: a pure function of its arguments (splitmix64), a float. */
double opcase_noise(uint64_t seed, uint64_t stream, uint64_t index);

/* --- access conformance ------------------------------------------------------------------- */

/*
 * Observations of one port, over all nodes that were tried: `seen` is an enum fsmoe_mode put
 * together from two facts, whatever the operation descriptor declares.
 *   FSMOE_W  its content changed while the kernel ran
 *   FSMOE_R  other prior content changed the outcome: an output or the return value. A port that
 *            is not overwritten everywhere counts as read: its old content comes out.
 * A descriptor is right when what was seen is what it declares: nothing undeclared in any node, and
 * all that is declared in at least one (a kernel need not show everything on one row or column).
 */
struct opcase_port
{
	const struct fsmoe_op *op;
	int port;
	int seen;
};

#define OPCASE_MAX_PORTS 512
struct opcase_ports
{
	int n;
	struct opcase_port port[OPCASE_MAX_PORTS];
};

/* Calls one kernel several times on copies of its tensors and adds what it saw to `ports`; the
 * tensors of `memory` are left as they were. Returns 0, or the kernel's failure. */
int opcase_observe(struct opcase_ports *ports, fsmoe_graph_t graph, const struct fsmoe_node *node,
		   fsmoe_memory_t memory, struct fsmoe_comm *comm, const struct fsmoe_step *step);
/* How many ports of `row`, a copy of `op` with other modes or `op` itself, declare something else
 * than was seen of `op`; the first becomes a sentence. */
int opcase_violations(const struct opcase_ports *ports, const struct fsmoe_op *op,
		      const struct fsmoe_op *row, char *sentence, size_t size);

/* --- running ------------------------------------------------------------------------------ */

/* Runs one graph node by node in double with `comm` for every communication (NULL: none) and
 * observes every node that `covers` accepts. Fails the cmocka test on a kernel's failure. */
void opcase_observe_graph(struct opcase_ports *ports, fsmoe_graph_t graph, fsmoe_memory_t memory,
			  struct fsmoe_comm *comm, int (*covers)(const struct fsmoe_op *op));
/* Fails the cmocka test unless every row in `ports` is what it declares and every mutant of it is
 * caught; prints how many of each. */
void opcase_judge(const struct opcase_ports *ports);

/* All tests of all cases as one cmocka group; the exit status of a test program. */
int opcase_main(const char *name, const struct opcase *cases, int ncases);

#endif
