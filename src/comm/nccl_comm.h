/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_NCCL_COMM_H
#define FSMOE_NCCL_COMM_H

#include "comm/device.h"

#include <cuda_runtime.h>
#include <nccl.h>

/* What src/comm/nccl.c asks of the windows: nccl_window.c, or nccl_window_absent.c where NCCL is
 * older than 2.28, which has none. */

/* 0, or the failure with its sentence. */
int fsmoe_nccl_check(ncclResult_t result, const char *call);
int fsmoe_nccl_cuda_check(cudaError_t result, const char *call);

/* A communicator with a CTA policy. */
int fsmoe_nccl_init(struct fsmoe_comm *comm, ncclUniqueId id, const char *cta_policy);
/* After all communicators are made: finds out which of them may have windows, the same on every
 * rank. Collective over the job. */
int fsmoe_window_find_groups(fsmoe_comms_t comms, const char *cta_policy);

/* Whether both lie in windows of the communicator. */
int fsmoe_window_holds(const struct fsmoe_comm *comm, const void *send, const void *recv);
/* bytes: to each rank. */
int fsmoe_window_alltoall(struct fsmoe_comm *comm, const void *send, void *recv, size_t bytes,
			  struct CUstream_st *stream);

#endif
