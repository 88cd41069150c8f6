/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_COMM_NCCL_H
#define FSMOE_COMM_NCCL_H

#include "comm/comm.h"

/*
 * The collectives of a training step between GPUs, by NCCL. They enqueue on a stream and return;
 * addresses are the device's. A communicator of a group is used by one stream at a time. Sums are
 * NCCL's: the same on every rank and every run with the same ranks, but not in group order beyond
 * two ranks.
 */

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/* Makes the device's side of every communicator of more than one rank, with this thread's current
 * device, and warms each with every operation. Groups in which two ranks have the same GPU stay
 * without: NCCL serves none, and a step that needs it fails. cta_policy: what NCCL takes of the
 * GPU's processors, "default", "efficiency" or "zero", as its NCCL_CTA_POLICY. Collective over the
 * job. */
int fsmoe_nccl_comms_create(fsmoe_comms_t comms, const char *cta_policy);
/* Collective over the job; whatever was enqueued must be done. */
void fsmoe_nccl_comms_destroy(fsmoe_comms_t comms);

/*
 * A window: memory of this GPU that groups' communicators know on all their ranks. Under the CTA
 * policy "zero" copy engines carry the AlltoAlls (a part for everybody, one after the other) and
 * AllGathers whose both buffers lie in windows, at the same distance from their start on every
 * rank.
 */
struct fsmoe_nccl_window;
struct fsmoe_nccl_window_ops
{
	/* Why a group can have no window, for a sentence; NULL: it can. The same on every rank. */
	const char *(*refused)(fsmoe_comms_t comms, enum fsmoe_group group);
	/* Of at least so many bytes, zeros, with one user. Local. -ENOMEM. */
	int (*create)(struct fsmoe_nccl_window **window, size_t bytes);
	/* Makes it known to communicators of these kinds (bits 1 << kind) and warms them.
	 * Collective over the job, with windows of one size, while nothing is enqueued. */
	int (*enroll)(struct fsmoe_nccl_window *window, fsmoe_comms_t comms, unsigned groups);
	char *(*data)(struct fsmoe_nccl_window *window);
	/* One user more, or one less: the last frees it. In the same order on every rank, before
	 * the communicators go; NULL is legal to release. */
	void (*keep)(struct fsmoe_nccl_window *window);
	void (*release)(struct fsmoe_nccl_window *window);

	/* For nccl.c. Makes a communicator with a CTA policy; nccl_id is an ncclUniqueId. */
	int (*init_comm)(struct fsmoe_comm *comm, const void *nccl_id, const char *cta_policy);
	/* After all communicators are made: finds out which of them may have windows, the same on
	 * every rank. Collective over the job. */
	int (*find_groups)(fsmoe_comms_t comms, const char *cta_policy);
	/* Whether both buffers lie in windows of the communicator. */
	int (*holds)(const struct fsmoe_comm *comm, const void *send, const void *recv);
	/* bytes: to each rank. */
	int (*alltoall)(struct fsmoe_comm *comm, const void *send, void *recv, size_t bytes,
			struct CUstream_st *stream);
};
/* nccl_window.c; NULL where this fsmoe was built with an NCCL older than 2.28, which has no
 * windows. */
extern const struct fsmoe_nccl_window_ops *const fsmoe_nccl_windows;

/* By a pattern of this group; send is NULL where a rank sends nothing, recv where it gets
 * nothing. */
int fsmoe_nccl_exchange(struct fsmoe_comm *comm, const struct fsmoe_pattern *pattern,
			const void *send, void *recv, struct CUstream_st *stream);
/* bytes: of this rank's part. */
int fsmoe_nccl_allgather(struct fsmoe_comm *comm, const void *send, void *recv, size_t bytes,
			 struct CUstream_st *stream);
/* count: elements that this rank receives, floats or bf16. */
int fsmoe_nccl_reduce_scatter(struct fsmoe_comm *comm, enum fsmoe_real real, const void *send,
			      void *recv, size_t count, struct CUstream_st *stream);
int fsmoe_nccl_allreduce(struct fsmoe_comm *comm, float *data, size_t count,
			 struct CUstream_st *stream);

#ifdef __cplusplus
}
#endif
#endif
