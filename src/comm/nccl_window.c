/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/nccl_internal.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Memory that NCCL knows on every rank of a group, at the same place: with the CTA policy "zero"
 * its copy engines then move what AlltoAlls and AllGathers move, and no processor of the GPU is
 * taken from computation. NCCL finds the window by the addresses; where it cannot use the engines
 * it takes kernels without a word, so what it asks for is asked here, to be told.
 */
struct fsmoe_nccl_window
{
	char *data;
	size_t bytes;
	int users;
	fsmoe_comms_t comms;
	ncclWindow_t of[FSMOE_NGROUPS];
	struct fsmoe_nccl_window *next[FSMOE_NGROUPS]; /* of a communicator's windows */
};

static const struct policy
{
	const char *name;
	int value, windows;
} policies[] = {
	{"default", NCCL_CTA_POLICY_DEFAULT, 0},
	{"efficiency", NCCL_CTA_POLICY_EFFICIENCY, 0},
	{"zero", NCCL_CTA_POLICY_ZERO, 1},
};

/* Why a group has no windows; of several reasons, on several ranks, the last. */
enum reason
{
	NONE,
	NOT_ASKED,
	OLD,
	TURNED_OFF,
	NO_ACCESS,
	SHARED,
	HOSTS,
};

static const char *const reasons[] = {
	[NOT_ASKED] = "nobody asked for it",
	[OLD] = "the driver is older than that of CUDA 12.5",
	[TURNED_OFF] = "NCCL_P2P_DISABLE, NCCL_CUMEM_ENABLE or NCCL_WIN_ENABLE forbids it",
	[NO_ACCESS] = "their GPUs cannot reach each other's memory",
	[SHARED] = "two of their ranks have one GPU",
	[HOSTS] = "their ranks are on several hosts",
};

enum
{
	WARM = 256,     /* bytes from rank to rank */
	LEAST = 1 << 20 /* of a window: more than warming takes; NCCL gives out no less anyway */
};

static const struct policy *find_policy(const char *name)
{
	size_t i = 0;

	while (i + 1 < sizeof(policies) / sizeof(policies[0]) && strcmp(policies[i].name, name))
		i++;
	return &policies[i];
}

static int init_comm(struct fsmoe_comm *comm, const void *id, const char *cta_policy)
{
	ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
	ncclComm_t device = NULL;
	int err;

	config.CTAPolicy = find_policy(cta_policy)->value;
	err = fsmoe_nccl_check(ncclCommInitRankConfig(&device, comm->size,
						      *(const ncclUniqueId *)id, comm->rank,
						      &config),
			       "ncclCommInitRankConfig");
	comm->nccl = device;
	return err;
}

/* --- which groups --------------------------------------------------------------------------- */

static int is_turned_off(void)
{
	static const struct
	{
		const char *name, *value;
	} switches[] = {
		{"NCCL_P2P_DISABLE", "1"}, {"NCCL_CUMEM_ENABLE", "0"}, {"NCCL_WIN_ENABLE", "0"}};
	int off = 0;

	for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++)
	{
		const char *value = getenv(switches[i].name);

		off |= value && !strcmp(value, switches[i].value);
	}
	return off;
}

struct seat
{
	char host[64], gpu[32];
};

/* A GPU that this process does not see cannot be asked about: NCCL sees more. */
static enum reason reason_between(const struct seat *mine, const struct seat *other, int device)
{
	int peer, reaches = 1;

	if (strcmp(mine->host, other->host))
		return HOSTS;
	if (!strcmp(mine->gpu, other->gpu))
		return SHARED;
	if (cudaDeviceGetByPCIBusId(&peer, other->gpu) != cudaSuccess ||
	    cudaDeviceCanAccessPeer(&reaches, device, peer) != cudaSuccess)
		cudaGetLastError(); /* else the next launch would report it */
	return reaches ? NONE : NO_ACCESS;
}

/* Finds why this rank's group can have no windows. */
static int find_reason(struct fsmoe_comm *comm, enum reason *reason)
{
	struct seat mine = {{0}}, *all = calloc((size_t)comm->size, sizeof(*all));
	int device = 0, driver = 0, err = 0;

	if (!all)
		err = fsmoe_fail(ENOMEM, "no memory for a group of %d ranks", comm->size);
	gethostname(mine.host, sizeof(mine.host) - 1);
	if (!err)
		err = fsmoe_nccl_cuda_check(cudaGetDevice(&device), "cudaGetDevice");
	if (!err)
		err = fsmoe_nccl_cuda_check(
			cudaDeviceGetPCIBusId(mine.gpu, sizeof(mine.gpu), device),
			"cudaDeviceGetPCIBusId");
	if (!err)
		err = fsmoe_nccl_cuda_check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
	if (!err)
		err = fsmoe_comm_allgather(comm, &mine, all, sizeof(mine));
	*reason = driver < 12050 ? OLD : is_turned_off() ? TURNED_OFF : NONE;
	for (int r = 0; r < comm->size && !err; r++)
	{
		const enum reason other =
			r == comm->rank ? NONE : reason_between(&mine, &all[r], device);

		*reason = other > *reason ? other : *reason;
	}
	free(all);
	return err;
}

static int find_groups(fsmoe_comms_t comms, const char *cta_policy)
{
	struct fsmoe_comm *world = fsmoe_comms_get(comms, FSMOE_GROUP_WORLD);
	unsigned char all[world->size][FSMOE_NGROUPS], mine[FSMOE_NGROUPS] = {0};
	int err = 0;

	for (int kind = 0; kind < FSMOE_NGROUPS && !err; kind++)
	{
		struct fsmoe_comm *comm = fsmoe_comms_get(comms, (enum fsmoe_group)kind);
		enum reason reason = NOT_ASKED;

		if (find_policy(cta_policy)->windows && comm->size > 1)
			err = find_reason(comm, &reason);
		mine[kind] = (unsigned char)reason;
	}
	if (!err)
		err = fsmoe_comm_allgather(world, mine, all, sizeof(mine));
	for (int kind = 0; kind < FSMOE_NGROUPS && !err; kind++)
	{
		struct fsmoe_comm *comm = fsmoe_comms_get(comms, (enum fsmoe_group)kind);
		int worst = 0;

		for (int r = 0; r < world->size; r++)
			worst = all[r][kind] > worst ? all[r][kind] : worst;
		comm->no_windows = reasons[worst];
	}
	return err;
}

static const char *refused(fsmoe_comms_t comms, enum fsmoe_group kind)
{
	return fsmoe_comms_get(comms, kind)->no_windows;
}

/* --- windows -------------------------------------------------------------------------------- */

static void take_out(struct fsmoe_nccl_window *w, enum fsmoe_group kind)
{
	struct fsmoe_comm *comm = fsmoe_comms_get(w->comms, kind);
	struct fsmoe_nccl_window **at = &comm->windows;

	while (*at && *at != w)
		at = &(*at)->next[kind];
	if (!*at)
		return;
	*at = w->next[kind];
	ncclCommWindowDeregister(comm->nccl, w->of[kind]);
}

static void release(struct fsmoe_nccl_window *w)
{
	if (!w || --w->users > 0)
		return;
	for (int kind = 0; w->comms && kind < FSMOE_NGROUPS; kind++)
		take_out(w, (enum fsmoe_group)kind);
	if (w->data)
		ncclMemFree(w->data);
	free(w);
}

static int create_window(struct fsmoe_nccl_window **window, size_t bytes)
{
	struct fsmoe_nccl_window *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return fsmoe_fail(ENOMEM, "no memory for a window");
	w->users = 1;
	w->bytes = bytes > LEAST ? bytes : LEAST;
	err = fsmoe_nccl_check(ncclMemAlloc((void **)&w->data, w->bytes), "ncclMemAlloc");
	if (!err)
		err = fsmoe_nccl_cuda_check(cudaMemset(w->data, 0, w->bytes), "clearing memory");
	if (!err)
		err = fsmoe_nccl_cuda_check(cudaDeviceSynchronize(), "clearing memory");
	if (err)
		release(w);
	else
		*window = w;
	return err;
}

static int alltoall(struct fsmoe_comm *comm, const void *send, void *recv, size_t bytes,
		    struct CUstream_st *stream)
{
	return fsmoe_nccl_check(ncclAlltoAll(send, recv, bytes, ncclInt8, comm->nccl, stream),
				"ncclAlltoAll");
}

/* What NCCL makes at the first use of the copy engines, not in a step; they refuse the default
 * stream. */
static int warm(struct fsmoe_comm *comm, struct fsmoe_nccl_window *w)
{
	char *recv = w->data + (size_t)comm->size * WARM;
	cudaStream_t stream;
	int err = fsmoe_nccl_cuda_check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking),
					"making a stream");

	if (err)
		return err;
	err = alltoall(comm, w->data, recv, WARM, stream);
	if (!err)
		err = fsmoe_nccl_allgather(comm, w->data, recv, WARM, stream);
	if (!err)
		err = fsmoe_nccl_cuda_check(cudaStreamSynchronize(stream), "warming a window");
	cudaStreamDestroy(stream);
	return err;
}

static int enroll(struct fsmoe_nccl_window *w, fsmoe_comms_t comms, unsigned groups)
{
	int err = 0;

	w->comms = comms;
	for (int kind = 0; kind < FSMOE_NGROUPS && !err; kind++)
	{
		struct fsmoe_comm *comm = fsmoe_comms_get(comms, (enum fsmoe_group)kind);

		if (!(groups & 1u << kind))
			continue;
		err = fsmoe_nccl_check(ncclCommWindowRegister(comm->nccl, w->data, w->bytes,
							      &w->of[kind],
							      NCCL_WIN_COLL_SYMMETRIC),
				       "ncclCommWindowRegister");
		if (err)
			break;
		w->next[kind] = comm->windows;
		comm->windows = w;
		err = warm(comm, w);
	}
	return err;
}

static char *window_data(struct fsmoe_nccl_window *w)
{
	return w->data;
}

static void keep(struct fsmoe_nccl_window *w)
{
	w->users++;
}

/* --- collectives ---------------------------------------------------------------------------- */

static int lies_in(const struct fsmoe_comm *comm, const char *at)
{
	const struct fsmoe_nccl_window *w = comm->windows;

	while (w && (at < w->data || at >= w->data + w->bytes))
		w = w->next[comm->kind];
	return w != NULL;
}

static int holds(const struct fsmoe_comm *comm, const void *send, const void *recv)
{
	return comm->windows && lies_in(comm, send) && lies_in(comm, recv);
}

const struct fsmoe_nccl_window_ops fsmoe_nccl_window_ops = {
	.refused = refused,
	.create = create_window,
	.enroll = enroll,
	.data = window_data,
	.keep = keep,
	.release = release,
	.init_comm = init_comm,
	.find_groups = find_groups,
	.holds = holds,
	.alltoall = alltoall,
};
