/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TESTS_MEASURE_H
#define FSMOE_TESTS_MEASURE_H

#include <fsmoe/graph.h>

/* Neither passes nor fails: prints what collectives over all ranks, and waiting in them, cost. */
void measure_collectives(fsmoe_comms_t comms);

#endif
