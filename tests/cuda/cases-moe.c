/* SPDX-License-Identifier: Apache-2.0 */
/* The table of tests/moe, as it is: only its main() gets another name. */
#include "check.h"
#define main moe_main
#include "tests/moe/ops.c"
