/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TESTS_OPS_CASES_H
#define FSMOE_TESTS_OPS_CASES_H

#include "tests/lib/opcase.h"

/* The cases of each family of operations, in a file each. */
extern const struct opcase dense_cases[];
extern const int ndense_cases;
extern const struct opcase token_cases[];
extern const int ntoken_cases;
extern const struct opcase attention_cases[];
extern const int nattention_cases;
extern const struct opcase optimizer_cases[];
extern const int noptimizer_cases;

#endif
