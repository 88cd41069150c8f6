/* SPDX-License-Identifier: Apache-2.0 */
#include "cases.h"

#include <stdlib.h>
#include <string.h>

/* Every built-in operation that computes: see tests/lib/opcase.h for what is tested of each. */

int main(void)
{
	static const struct
	{
		const struct opcase *cases;
		const int *n;
	} families[] = {
		{dense_cases, &ndense_cases},
		{token_cases, &ntoken_cases},
		{attention_cases, &nattention_cases},
		{optimizer_cases, &noptimizer_cases},
	};
	struct opcase all[64];
	int n = 0;

	for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++)
		for (int i = 0; i < *families[f].n && n < 64; i++)
			all[n++] = families[f].cases[i];
	return opcase_main("ops", all, n);
}
