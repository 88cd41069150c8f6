/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TOPO_ABORT_H
#define FSMOE_TOPO_ABORT_H

#include <fsmoe/topo.h>

/* Ends every rank of the job with an exit code, and does not return; for programs, when one rank
 * has failed and the others would wait for it. Without MPI (one rank, a synthetic machine, NULL)
 * there is nobody to end: it returns. */
void fsmoe_topo_abort(fsmoe_topo_t topo, int code);

#endif
