/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TESTS_MOE_BENCH_H
#define FSMOE_TESTS_MOE_BENCH_H

#include "moe/layer.h"

#include <fsmoe/schedule.h>

/* One layer with an input and a gradient of its output of the test's choice, forward and backward:
 * y = layer(x), and the gradients of x and of every parameter for a given dy. */
struct bench
{
	fsmoe_graph_t graph;
	fsmoe_memory_t memory;
	fsmoe_tensor_t x, dy, y; /* x is a parameter "x" */
	size_t rows;
	enum fsmoe_real real;
};

/* x is tokens [first, first + rows) of an endless noise; parameters are noise by global index, so
 * that parts on many ranks are parts of the same whole. Fails the cmocka test when it cannot. */
void bench_setup(struct bench *b, const struct fsmoe_moe_spec *spec, enum fsmoe_real real,
		 fsmoe_groups_t groups, size_t first, size_t rows);
/* Only the graph; its failure, if any, is the graph's status. */
void bench_build(struct bench *b, const struct fsmoe_moe_spec *spec, fsmoe_groups_t groups,
		 size_t rows);
/* Both with a row of fsmoe/schedule.h; NULL: none. */
void bench_setup_row(struct bench *b, const struct fsmoe_schedule *row,
		     const struct fsmoe_moe_spec *spec, enum fsmoe_real real, fsmoe_groups_t groups,
		     size_t first, size_t rows);
void bench_build_row(struct bench *b, const struct fsmoe_schedule *row,
		     const struct fsmoe_moe_spec *spec, fsmoe_groups_t groups, size_t rows);
void bench_teardown(struct bench *b);
/* Zeroes the gradients and executes. */
int bench_run(struct bench *b, fsmoe_comms_t comms);
/* As the step of that number; 0 is an evaluation. */
int bench_run_step(struct bench *b, fsmoe_comms_t comms, uint64_t step);

const struct fsmoe_param *bench_param(const struct bench *b, const char *name);
/* Index in the whole of element i of this rank's part. */
size_t bench_global_index(const struct fsmoe_param_spec *spec, size_t i);
void *bench_data(const struct bench *b, fsmoe_tensor_t tensor);
void *bench_grad(const struct bench *b, const char *param);
size_t bench_count(const struct bench *b, fsmoe_tensor_t tensor);
double bench_get(const struct bench *b, const void *data, size_t i);
void bench_set(const struct bench *b, void *data, size_t i, double value);
/* The tensor at a port of the first node of an operation. */
fsmoe_tensor_t bench_port(const struct bench *b, const char *op, int port);

#endif
