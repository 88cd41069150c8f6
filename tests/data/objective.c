/* SPDX-License-Identifier: Apache-2.0 */
/* Masked tokens: as many in every sequence, where and only where there is a target, the same
 * wherever a sequence lies in a batch. */
#include "tests/base/unit.h"

#include "data/objective.h"

#include <string.h>

enum
{
	SEQ = 40,
	COUNT = 50
};

static int32_t tokens[COUNT][SEQ], targets[COUNT][SEQ];

static void fill(void)
{
	for (int s = 0; s < COUNT; s++)
		for (int i = 0; i < SEQ; i++)
		{
			tokens[s][i] = (s * 7 + i * 3) % 99;
			targets[s][i] = (s * 7 + (i + 1) * 3) % 99;
		}
}

static void the_next_token_is_left_alone(void **state)
{
	const struct fsmoe_objective next = {0, 100, SEQ};
	int32_t before[COUNT][SEQ];

	(void)state;
	fill();
	memcpy(before, targets, sizeof(before));
	fsmoe_objective_apply(&next, 1, 0, COUNT, tokens[0], targets[0]);
	assert_memory_equal(before, targets, sizeof(before));
	assert_int_equal(fsmoe_objective_targets(&next), SEQ);
}

static void masks_hide_what_is_asked(void **state)
{
	const struct fsmoe_objective masked = {1, 100, SEQ};
	int hits[SEQ] = {0};

	(void)state;
	fill();
	fsmoe_objective_apply(&masked, 1, 0, COUNT, tokens[0], targets[0]);
	assert_int_equal(fsmoe_objective_targets(&masked), 6); /* 15 % of 40 */
	for (int s = 0; s < COUNT; s++)
	{
		int n = 0;
		for (int i = 0; i < SEQ; i++)
		{
			const int was = (s * 7 + i * 3) % 99;
			if (tokens[s][i] == 99)
				assert_int_equal(targets[s][i], was);
			else
			{
				assert_int_equal(tokens[s][i], was);
				assert_int_equal(targets[s][i], -1);
			}
			n += tokens[s][i] == 99;
			hits[i] += tokens[s][i] == 99;
		}
		assert_int_equal(n, 6);
	}
	for (int i = 0; i < SEQ; i++) /* 7.5 expected */
		assert_in_range(hits[i], 1, 20);
}

static void places_are_the_sequences_own(void **state)
{
	const struct fsmoe_objective masked = {1, 100, SEQ};
	int32_t all[COUNT][SEQ];

	(void)state;
	fill();
	fsmoe_objective_apply(&masked, 1, 0, COUNT, tokens[0], targets[0]);
	memcpy(all, tokens, sizeof(all));
	fill();
	fsmoe_objective_apply(&masked, 1, 30, 20, tokens[30], targets[30]);
	fsmoe_objective_apply(&masked, 1, 0, 30, tokens[0], targets[0]);
	assert_memory_equal(all, tokens, sizeof(all));
	fill();
	fsmoe_objective_apply(&masked, 2, 0, COUNT, tokens[0], targets[0]);
	assert_memory_not_equal(all, tokens, sizeof(all)); /* another seed */
	assert_int_equal(fsmoe_objective_targets(&(struct fsmoe_objective){1, 9, 3}), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(the_next_token_is_left_alone),
					   cmocka_unit_test(masks_hide_what_is_asked),
					   cmocka_unit_test(places_are_the_sequences_own)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
