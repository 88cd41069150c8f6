/* SPDX-License-Identifier: Apache-2.0 */
/* The table of every gate with every order, as it is: only its main() gets another name. */
#include "check.h"
#define main gates_main
#include "tests/moe/conformance-ops.c"
