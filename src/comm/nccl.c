/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "comm/nccl_internal.h"
#include "comm/watch.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef FSMOE_USE_NCCL_WINDOWS
const struct fsmoe_nccl_window_ops *const fsmoe_nccl_windows = &fsmoe_nccl_window_ops;
#else
const struct fsmoe_nccl_window_ops *const fsmoe_nccl_windows;
#endif

int fsmoe_nccl_check(ncclResult_t result, const char *call)
{
	return result == ncclSuccess || result == ncclInProgress
		       ? 0
		       : fsmoe_fail(EIO, "%s failed: %s", call, ncclGetErrorString(result));
}

int fsmoe_nccl_cuda_check(cudaError_t result, const char *call)
{
	return result == cudaSuccess
		       ? 0
		       : fsmoe_fail(result == cudaErrorMemoryAllocation ? ENOMEM : EIO,
				    "%s failed: %s", call, cudaGetErrorString(result));
}

/* The stream as CUDA's headers call it. */
static cudaStream_t on(struct CUstream_st *stream)
{
	return stream;
}

/* All pieces of all peers are one group, so one launch. */
static int post(struct fsmoe_comm *comm, struct fsmoe_pieces out, const char *send,
		struct fsmoe_pieces in, char *recv, int peer, struct CUstream_st *stream)
{
	int err = 0;

	for (size_t i = 0; i < out.n && !err; i++)
		err = fsmoe_nccl_check(ncclSend(send + out.at + i * out.stride, out.bytes, ncclInt8,
						peer, comm->nccl, on(stream)),
				       "ncclSend");
	for (size_t i = 0; i < in.n && !err; i++)
		err = fsmoe_nccl_check(ncclRecv(recv + in.at + i * in.stride, in.bytes, ncclInt8,
						peer, comm->nccl, on(stream)),
				       "ncclRecv");
	return err;
}

/* A part for everybody, one after the other. */
static int is_plain(const struct fsmoe_pattern *pattern)
{
	return pattern->kind == FSMOE_PATTERN_ALLTOALL && pattern->outer == 1;
}

int fsmoe_nccl_exchange(struct fsmoe_comm *comm, const struct fsmoe_pattern *pattern,
			const void *send, void *recv, struct CUstream_st *stream)
{
	const struct fsmoe_pieces own_out = fsmoe_pattern_send(pattern, comm->rank),
				  own_in = fsmoe_pattern_recv(pattern, comm->rank);
	int err;

	if (is_plain(pattern) && fsmoe_nccl_windows && fsmoe_nccl_windows->holds(comm, send, recv))
		return fsmoe_nccl_windows->alltoall(comm, send, recv, pattern->bytes, stream);
	err = fsmoe_nccl_check(ncclGroupStart(), "ncclGroupStart");

	for (int p = 0; p < comm->size && !err; p++)
		if (p != comm->rank)
			err = post(comm, fsmoe_pattern_send(pattern, p), send,
				   fsmoe_pattern_recv(pattern, p), recv, p, stream);
	int end = fsmoe_nccl_check(ncclGroupEnd(), "ncclGroupEnd");
	if (!err && !end && own_in.n)
		err = fsmoe_nccl_cuda_check(
			cudaMemcpy2DAsync((char *)recv + own_in.at, own_in.stride,
					  (const char *)send + own_out.at, own_out.stride,
					  own_in.bytes, own_in.n, cudaMemcpyDeviceToDevice,
					  on(stream)),
			"cudaMemcpy2DAsync");
	return err ? err : end;
}

int fsmoe_nccl_allgather(struct fsmoe_comm *comm, const void *send, void *recv, size_t bytes,
			 struct CUstream_st *stream)
{
	return fsmoe_nccl_check(ncclAllGather(send, recv, bytes, ncclInt8, comm->nccl, on(stream)),
				"ncclAllGather");
}

int fsmoe_nccl_reduce_scatter(struct fsmoe_comm *comm, enum fsmoe_real real, const void *send,
			      void *recv, size_t count, struct CUstream_st *stream)
{
	return fsmoe_nccl_check(ncclReduceScatter(send, recv, count,
						  real == FSMOE_BF16 ? ncclBfloat16 : ncclFloat32,
						  ncclSum, comm->nccl, on(stream)),
				"ncclReduceScatter");
}

int fsmoe_nccl_allreduce(struct fsmoe_comm *comm, float *data, size_t count,
			 struct CUstream_st *stream)
{
	return fsmoe_nccl_check(
		ncclAllReduce(data, data, count, ncclFloat32, ncclSum, comm->nccl, on(stream)),
		"ncclAllReduce");
}

/* --- failures ------------------------------------------------------------------------------- */

/* Failures in NCCL's own threads, of a network for example, are returned by no call: kernels then
 * wait for ever. */
static int find_fault(void *arg, char *sentence, size_t size)
{
	const fsmoe_comms_t comms = arg;

	for (int kind = 0; kind < FSMOE_NGROUPS; kind++)
	{
		struct fsmoe_comm *comm = fsmoe_comms_get(comms, (enum fsmoe_group)kind);
		ncclResult_t result, met = ncclSuccess;

		if (!comm->nccl)
			continue;
		result = ncclCommGetAsyncError(comm->nccl, &met);
		if (result == ncclSuccess)
			result = met;
		if (result == ncclSuccess || result == ncclInProgress)
			continue;
		snprintf(sentence, size, "NCCL cannot go on in group %s: %s (%s)",
			 fsmoe_group_name(comm->kind), ncclGetErrorString(result),
			 ncclGetLastError(comm->nccl));
		return 1;
	}
	return 0;
}

/* --- start and end -------------------------------------------------------------------------- */

/* The first use of a communicator blocks until all its ranks do: now, not in a step. */
static int warm(struct fsmoe_comm *comm)
{
	const struct fsmoe_pattern alltoall = {FSMOE_PATTERN_ALLTOALL, comm->size, comm->rank, 1,
					       256};
	static const enum fsmoe_real summed[] = {FSMOE_F32, FSMOE_BF16};
	size_t bytes = 256 * (size_t)comm->size;
	char *buffer = NULL;
	int err = fsmoe_nccl_cuda_check(cudaMalloc((void **)&buffer, 2 * bytes), "cudaMalloc");

	if (err)
		return err;
	err = fsmoe_nccl_cuda_check(cudaMemset(buffer, 0, 2 * bytes), "cudaMemset");
	if (!err)
		err = fsmoe_nccl_exchange(comm, &alltoall, buffer, buffer + bytes, NULL);
	if (!err)
		err = fsmoe_nccl_allgather(comm, buffer, buffer + bytes, 256, NULL);
	for (int i = 0; i < 2 && !err; i++)
		err = fsmoe_nccl_reduce_scatter(comm, summed[i], buffer, buffer + bytes, 64, NULL);
	if (!err)
		err = fsmoe_nccl_allreduce(comm, (float *)buffer, 64, NULL);
	if (!err)
		err = fsmoe_nccl_cuda_check(cudaStreamSynchronize(NULL), "warming a communicator");
	cudaFree(buffer);
	return err;
}

/* Whether two ranks of a group have one GPU, which NCCL has no way to serve. */
static int share_gpus(struct fsmoe_comm *comm, int *shared)
{
	struct cudaDeviceProp properties;
	const size_t id = sizeof(properties.uuid);
	int device, err = fsmoe_nccl_cuda_check(cudaGetDevice(&device), "cudaGetDevice");
	char *all = malloc((size_t)comm->size * id);

	*shared = 0;
	if (!err)
		err = fsmoe_nccl_cuda_check(cudaGetDeviceProperties(&properties, device),
					    "cudaGetDeviceProperties");
	if (!err && !all)
		err = fsmoe_fail(ENOMEM, "no memory for a group of %d ranks", comm->size);
	if (!err)
		err = fsmoe_comm_allgather(comm, &properties.uuid, all, id);
	for (size_t i = 0; i < (size_t)comm->size && !err; i++)
		for (size_t k = 0; k < i; k++)
			*shared |= !memcmp(all + i * id, all + k * id, id);
	free(all);
	return err;
}

static int init_comm(struct fsmoe_comm *comm, const ncclUniqueId *id, const char *cta_policy)
{
	ncclComm_t made = NULL;
	int err;

	if (fsmoe_nccl_windows)
		return fsmoe_nccl_windows->init_comm(comm, id, cta_policy);
	err = fsmoe_nccl_check(ncclCommInitRank(&made, comm->size, *id, comm->rank),
			       "ncclCommInitRank");
	comm->nccl = made;
	return err;
}

/* Where NCCL has no windows, a warning about "zero" waits until a program could use it. */
static int find_windows(fsmoe_comms_t comms, const char *cta_policy)
{
	if (fsmoe_nccl_windows)
		return fsmoe_nccl_windows->find_groups(comms, cta_policy);
	if (strcmp(cta_policy, "efficiency") == 0 &&
	    fsmoe_comms_get(comms, FSMOE_GROUP_WORLD)->rank == 0)
		fsmoe_log(FSMOE_LOG_WARNING,
			  "the CTA policy stays 'default', not 'efficiency': this fsmoe was built "
			  "with an NCCL older than 2.28");
	return 0;
}

static int create_one(struct fsmoe_comm *comm, const char *cta_policy)
{
	ncclUniqueId id;
	int shared, err = share_gpus(comm, &shared);

	if (err || shared)
		return err;
	memset(&id, 0, sizeof(id));
	if (comm->rank == 0)
		err = fsmoe_nccl_check(ncclGetUniqueId(&id), "ncclGetUniqueId");
	if (!err)
		err = fsmoe_comm_broadcast(comm, &id, sizeof(id), 0);
	if (!err)
		err = init_comm(comm, &id, cta_policy);
	return err ? err : warm(comm);
}

static struct fsmoe_watch *watch_of(fsmoe_comms_t comms)
{
	return comms ? fsmoe_comms_get(comms, FSMOE_GROUP_WORLD)->watch : NULL;
}

int fsmoe_nccl_comms_create(fsmoe_comms_t comms, const char *cta_policy)
{
	int err = 0;

	/* Else NCCL connects every algorithm at its first use, which goes by a message's size: the
	 * first large one would block the host's one thread, which enqueues the other lanes too,
	 * until the other ranks come to it. */
	setenv("NCCL_RUNTIME_CONNECT", "0", 0);
	/* Groups of one kind are apart from each other, and every rank goes through the kinds in
	 * the same order. */
	for (int kind = 0; comms && kind < FSMOE_NGROUPS && !err; kind++)
	{
		struct fsmoe_comm *comm = fsmoe_comms_get(comms, (enum fsmoe_group)kind);
		if (comm->size > 1)
			err = create_one(comm, cta_policy);
	}
	if (comms && !err)
		err = find_windows(comms, cta_policy);
	if (err)
		fsmoe_nccl_comms_destroy(comms);
	else
		fsmoe_watch_faults(watch_of(comms), find_fault, comms);
	return err;
}

void fsmoe_nccl_comms_destroy(fsmoe_comms_t comms)
{
	fsmoe_watch_faults(watch_of(comms), NULL, NULL);
	ncclGroupStart(); /* each takes 0.4 s: at once */
	for (int kind = 0; comms && kind < FSMOE_NGROUPS; kind++)
	{
		struct fsmoe_comm *comm = fsmoe_comms_get(comms, (enum fsmoe_group)kind);
		if (comm->nccl)
			ncclCommDestroy(comm->nccl);
		comm->nccl = NULL;
		comm->windows = NULL;
	}
	ncclGroupEnd();
}
