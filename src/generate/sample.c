/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "generate/generate.h"

#include <math.h>
#include <stdlib.h>

static int by_logit(const void *a, const void *b, void *logits)
{
	const float *x = logits;
	const int i = *(const int *)a, j = *(const int *)b;

	/* Ties by number: the same order everywhere. */
	if (x[i] != x[j])
		return x[i] > x[j] ? -1 : 1;
	return i < j ? -1 : i > j;
}

int32_t fsmoe_sample(const float *logits, int vocab, const struct fsmoe_sampling *s, uint64_t index,
		     int *order)
{
	const int most = s->top_k > 0 && s->top_k < vocab ? s->top_k : vocab;
	double total = 0, sum = 0, target;
	int n = 0;

	for (int i = 0; i < vocab; i++)
		order[i] = i;
	qsort_r(order, (size_t)vocab, sizeof(*order), by_logit, (void *)logits);
	if (s->temperature <= 0)
		return order[0];
	for (int i = 0; i < most; i++)
		total += exp(((double)logits[order[i]] - logits[order[0]]) / s->temperature);
	/* The first n make up top_p of it, always at least one. */
	while (n < most && (n == 0 || sum < s->top_p * total))
		sum += exp(((double)logits[order[n++]] - logits[order[0]]) / s->temperature);
	target = fsmoe_rng_uniform(fsmoe_rng_key(s->seed, "generate"), index) * sum;
	for (int i = 0; i < n; i++)
	{
		target -= exp(((double)logits[order[i]] - logits[order[0]]) / s->temperature);
		if (target < 0)
			return order[i];
	}
	return order[n - 1];
}
