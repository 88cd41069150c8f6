/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_DATA_OBJECTIVE_H
#define FSMOE_DATA_OBJECTIVE_H

#include <stdint.h>

/*
 * What a model is asked: of every token the next one; or, masked, of some places what stood there.
 * Masked, a fixed share of a sequence's places is drawn, so that every batch has as many targets;
 * the token there becomes the last of the vocabulary (in bytes of text, 255, which UTF-8 never
 * has), and only there is a target. The model's attention then sees whole sequences
 * (fsmoe_model_spec, bidirectional).
 */
struct fsmoe_objective
{
	int masked;                 /* 0: the next token */
	int vocab_size, seq_length; /* of the model */
};

/* Percent of a sequence's tokens that are masked. */
#define FSMOE_MASKED 15

/* Counted targets of a sequence; the same of all. */
int fsmoe_objective_targets(const struct fsmoe_objective *objective);
/* Turns `count` sequences of (token, next token) into what the objective asks. Which places are
 * masked is a function of the seed and of a sequence's number, `first` and on. */
void fsmoe_objective_apply(const struct fsmoe_objective *objective, uint64_t seed, uint64_t first,
			   int count, int32_t *tokens, int32_t *targets);

#endif
