/* SPDX-License-Identifier: Apache-2.0 */
#include "data/objective.h"

#include "base/rng.h"

int fsmoe_objective_targets(const struct fsmoe_objective *o)
{
	const int masked = (int)((long long)o->seq_length * FSMOE_MASKED / 100);

	return !o->masked ? o->seq_length : masked > 0 ? masked : 1;
}

static void mask(const struct fsmoe_objective *o, uint64_t key, int32_t *tokens, int32_t *targets)
{
	const int n = fsmoe_objective_targets(o);

	for (int i = 0; i < o->seq_length; i++)
		targets[i] = -1;
	for (int i = 0; i < n; i++)
	{
		const uint64_t at = fsmoe_rng_permute(key, (uint64_t)o->seq_length, (uint64_t)i);

		targets[at] = tokens[at];
		tokens[at] = o->vocab_size - 1;
	}
}

void fsmoe_objective_apply(const struct fsmoe_objective *o, uint64_t seed, uint64_t first,
			   int count, int32_t *tokens, int32_t *targets)
{
	const uint64_t key = fsmoe_rng_key(seed, "masked tokens");

	for (int i = 0; o->masked && i < count; i++)
		mask(o, fsmoe_rng_subkey(key, first + (uint64_t)i),
		     tokens + (long)i * o->seq_length, targets + (long)i * o->seq_length);
}
