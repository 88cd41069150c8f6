/* SPDX-License-Identifier: Apache-2.0 */
#include "opcase_internal.h"

#include <stdlib.h>

/* A table of cases as a cmocka group: up to four tests a case and one at the end for all. */

static struct opcase_ports seen;

static void forward(void **state)
{
	opcase_test_forward(*state);
}

static void gradient(void **state)
{
	opcase_test_gradient(*state);
}

static void in_float(void **state)
{
	opcase_test_float(*state);
}

static void access_modes(void **state)
{
	opcase_test_access(*state, &seen);
}

static void judge(void **state)
{
	(void)state;
	opcase_judge(&seen);
}

static const struct
{
	const char *name;
	void (*test)(void **state);
} kinds[] = {
	{"forward", forward},
	{"gradient", gradient},
	{"float", in_float},
	{"access", access_modes},
};
#define NKINDS ((int)(sizeof(kinds) / sizeof(kinds[0])))

static int applies(const struct opcase *c, void (*test)(void **state))
{
	if (test == forward)
		return c->expect != NULL;
	if (test == gradient)
		return !(c->flags & (OPCASE_NO_GRADIENT | OPCASE_LARGE));
	return 1;
}

int opcase_main(const char *name, const struct opcase *cases, int ncases)
{
	struct CMUnitTest *tests = calloc((size_t)(NKINDS * ncases + 1), sizeof(*tests));
	char(*names)[64] = calloc((size_t)(NKINDS * ncases + 1), sizeof(*names));
	int n = 0, failed;

	if (!tests || !names)
		return 99;
	for (int i = 0; i < ncases; i++)
		for (int k = 0; k < NKINDS; k++)
		{
			if (!applies(&cases[i], kinds[k].test))
				continue;
			snprintf(names[n], sizeof(names[n]), "%s: %s", cases[i].name,
				 kinds[k].name);
			tests[n] = (struct CMUnitTest){.name = names[n],
						       .test_func = kinds[k].test,
						       .initial_state = (void *)&cases[i]};
			n++;
		}
	tests[n++] = (struct CMUnitTest){.name = "rows and mutants", .test_func = judge};
	failed = _cmocka_run_group_tests(name, tests, (size_t)n, NULL, NULL);
	free(tests);
	free(names);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
