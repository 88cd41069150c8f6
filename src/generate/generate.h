/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_GENERATE_H
#define FSMOE_GENERATE_H

#include <fsmoe/model.h>
#include <fsmoe/runtime.h>

/* How the next token is drawn from the logits. */
struct fsmoe_sampling
{
	double temperature; /* 0: the likeliest */
	int top_k;          /* of the k likeliest; 0: of all */
	double top_p;       /* of the likeliest that make up this probability; 1: of all */
	uint64_t seed;
};

/* Draws token number `index` with this seed; a pure function. scratch: vocab ints. */
int32_t fsmoe_sample(const float *logits, int vocab, const struct fsmoe_sampling *sampling,
		     uint64_t index, int *scratch);

/*
 * A model that continues texts. Every token is a forward pass over a window of the last seq
 * tokens; there is no cache. No token is dropped, whatever the model was trained with, since a
 * token must not depend on later ones. Data-parallel ranks do the same work.
 */
struct fsmoe_generator;

/* Makes a generator with the weights of a checkpoint; NULL: initial weights of seed 1. Collective
 * over the job. */
int fsmoe_generator_create(struct fsmoe_generator **generator, fsmoe_runtime_t runtime,
			   const struct fsmoe_model_spec *model, const char *checkpoint);
void fsmoe_generator_destroy(struct fsmoe_generator *generator); /* NULL is legal */

/* Draws the token after tokens[0 .. n - 1], the same on every rank; n is at least 1. Collective
 * over the job. */
int fsmoe_generator_next(struct fsmoe_generator *generator, const int32_t *tokens, size_t n,
			 const struct fsmoe_sampling *sampling, uint64_t index, int32_t *next);

#endif
