/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TOPO_VERSION_H
#define FSMOE_TOPO_VERSION_H

/* The MPI library in use, one line; works whether MPI runs or not. Static. */
const char *fsmoe_mpi_version(void);

#endif
