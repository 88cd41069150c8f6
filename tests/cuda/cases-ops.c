/* SPDX-License-Identifier: Apache-2.0 */
/* The table of tests/ops, as it is: only its main() gets another name. */
#include "check.h"
#define main ops_main
#include "tests/ops/ops.c"
