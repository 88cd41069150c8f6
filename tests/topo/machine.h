/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_TOPO_MACHINE_H
#define TESTS_TOPO_MACHINE_H

#include "topo/topo.h"

#include <fsmoe/error.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static inline fsmoe_topo_t machine(const char *description, int nodes)
{
	fsmoe_topo_t topo = NULL;

	if (fsmoe_topo_create(&topo, description, nodes))
		fail_msg("%s: %s", description ? description : "this job", fsmoe_last_error());
	return topo;
}

#endif
