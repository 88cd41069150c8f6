/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_MEASURE_SAMPLER_H
#define FSMOE_MEASURE_SAMPLER_H

#include "measure/samples.h"

#include <fsmoe/measure.h>

/* Measurements of one profile. */
struct fsmoe_sampler
{
	fsmoe_runtime_t runtime;
	struct fsmoe_comm *world;
	struct fsmoe_samples *samples;
	/* Seconds of all computation of the layers, by means and by medians: where ranks share
	 * cores, the former are longer. */
	double by_means, by_medians;
};

/*
 * Runs a graph for about `seconds`, between 5 and 25 times after one warm-up, each after a barrier,
 * and adds the durations of the nodes for which `counts` is true to the samples. Collective over
 * the job. 0 or a negative errno.
 */
int fsmoe_sampler_run(struct fsmoe_sampler *sampler, fsmoe_graph_t graph, fsmoe_memory_t memory,
		      double seconds, int (*counts)(const struct fsmoe_node *node));

/* The two parts of a profile. Both collective. */
int fsmoe_sampler_layers(struct fsmoe_sampler *sampler, const struct fsmoe_model_spec *model,
			 const struct fsmoe_train_opts *train, double seconds);
int fsmoe_sampler_collectives(struct fsmoe_sampler *sampler, const struct fsmoe_model_spec *model,
			      const struct fsmoe_train_opts *train, int max_degree, double seconds);

#endif
