/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "collectives.h"

#include <stdint.h>
#include <string.h>

/* Element i of what the rank `rank` of the world contributes to round `round`: values of very
 * different sizes, so that another order of addition gives other bits. */
static double value(int rank, size_t i, int round)
{
	uint64_t h = (uint64_t)rank * 0x9E3779B97F4A7C15u + i * 0xBF58476D1CE4E5B9u +
		     (uint64_t)round * 0x94D049BB133111EBu;
	h ^= h >> 31;
	h *= 0xD6E8FEB86659FD93u;
	h ^= h >> 29;
	double unit = (double)(h >> 11) / 9007199254740992.0 - 0.5;
	return unit * (double)(1 << (h & 20));
}

static void set(enum fsmoe_real real, void *data, size_t i, double x)
{
	if (real == FSMOE_F64)
		((double *)data)[i] = x;
	else
		((float *)data)[i] = (float)x;
}

/* The plain sum over the group's ranks, in order and in the type. */
static void plain_sum(enum fsmoe_real real, void *data, size_t i, const int *members, int n,
		      size_t element, int round)
{
	if (real == FSMOE_F64)
	{
		double sum = value(members[0], element, round);
		for (int k = 1; k < n; k++)
			sum += value(members[k], element, round);
		((double *)data)[i] = sum;
		return;
	}
	float sum = (float)value(members[0], element, round);
	for (int k = 1; k < n; k++)
		sum += (float)value(members[k], element, round);
	((float *)data)[i] = sum;
}

static const size_t counts[] = {0, 1, 2, 3, 5, 64, 255, 511, 512, 513, 1000, 4099, 70001};
#define NCOUNTS (sizeof(counts) / sizeof(counts[0]))

void test_allreduce(const struct group *group, enum fsmoe_real real)
{
	size_t width = real == FSMOE_F64 ? sizeof(double) : sizeof(float);

	for (size_t c = 0; c < NCOUNTS; c++)
	{
		size_t n = counts[c];
		char *data = malloc(n * width + 1), *expected = malloc(n * width + 1);
		for (size_t i = 0; i < n; i++)
		{
			set(real, data, i, value(group->world_rank, i, 1));
			plain_sum(real, expected, i, group->members, group->n, i, 1);
		}
		CHECK(fsmoe_comm_allreduce(group->comm, real, data, n) == 0);
		CHECK(memcmp(data, expected, n * width) == 0);

		/* Two pieces give the same bits as one. */
		size_t cut = n / 3;
		for (size_t i = 0; i < n; i++)
			set(real, data, i, value(group->world_rank, i, 1));
		CHECK(fsmoe_comm_allreduce(group->comm, real, data, cut) == 0);
		CHECK(fsmoe_comm_allreduce(group->comm, real, data + cut * width, n - cut) == 0);
		CHECK(memcmp(data, expected, n * width) == 0);
		free(data);
		free(expected);
	}
}

static void test_reduce_scatter(const struct group *group, enum fsmoe_real real)
{
	size_t width = real == FSMOE_F64 ? sizeof(double) : sizeof(float);

	for (size_t c = 0; c < NCOUNTS; c++)
	{
		size_t n = counts[c], all = n * (size_t)group->n;
		char *send = malloc(all * width + 1), *recv = malloc(n * width + 1);
		char *expected = malloc(n * width + 1);
		for (size_t i = 0; i < all; i++)
			set(real, send, i, value(group->world_rank, i, 2));
		for (size_t i = 0; i < n; i++)
			plain_sum(real, expected, i, group->members, group->n,
				  (size_t)group->me * n + i, 2);
		CHECK(fsmoe_comm_reduce_scatter(group->comm, real, send, recv, n) == 0);
		CHECK(memcmp(recv, expected, n * width) == 0);
		free(send);
		free(recv);
		free(expected);
	}
}

/* Byte i of what rank `from` sends to rank `to`. */
static unsigned char byte(int from, int to, size_t i)
{
	return (unsigned char)(from * 31 + to * 7 + (int)(i % 251));
}

static void test_alltoall(const struct group *group)
{
	for (size_t c = 0; c < NCOUNTS; c++)
	{
		size_t n = counts[c], all = n * (size_t)group->n;
		unsigned char *send = malloc(all + 1), *recv = malloc(all + 1);
		for (int to = 0; to < group->n; to++)
			for (size_t i = 0; i < n; i++)
				send[(size_t)to * n + i] =
					byte(group->world_rank, group->members[to], i);
		CHECK(fsmoe_comm_alltoall(group->comm, send, recv, n) == 0);
		for (int from = 0; from < group->n; from++)
			for (size_t i = 0; i < n; i++)
				CHECK(recv[(size_t)from * n + i] ==
				      byte(group->members[from], group->world_rank, i));
		free(send);
		free(recv);
	}
}

/* How many bytes one rank sends another: all sizes differ, some are zero. */
static size_t pair_bytes(int from, int to)
{
	return (from + to) % 3 == 0 ? 0 : (size_t)(from * 1000 + to * 77 + 1);
}

void test_alltoallv(const struct group *group)
{
	size_t send_bytes[64], send_at[64], recv_bytes[64], recv_at[64], sent = 0, received = 0;

	for (int k = 0; k < group->n; k++)
	{
		send_bytes[k] = pair_bytes(group->world_rank, group->members[k]);
		recv_bytes[k] = pair_bytes(group->members[k], group->world_rank);
		send_at[k] = sent;
		recv_at[k] = received + 3; /* gaps between the parts stay as they are */
		sent += send_bytes[k];
		received += recv_bytes[k] + 3;
	}
	unsigned char *send = malloc(sent + 1), *recv = malloc(received + 1);
	memset(recv, 0xEE, received + 1);
	for (int k = 0; k < group->n; k++)
		for (size_t i = 0; i < send_bytes[k]; i++)
			send[send_at[k] + i] = byte(group->world_rank, group->members[k], i);
	CHECK(fsmoe_comm_alltoallv(group->comm, send, send_bytes, send_at, recv, recv_bytes,
				   recv_at) == 0);
	for (int k = 0; k < group->n; k++)
	{
		for (size_t i = 0; i < recv_bytes[k]; i++)
			CHECK(recv[recv_at[k] + i] ==
			      byte(group->members[k], group->world_rank, i));
		for (size_t i = 1; i <= 3; i++)
			CHECK(recv[recv_at[k] - i] == 0xEE);
	}
	CHECK(recv[received] == 0xEE);
	free(send);
	free(recv);

	/* A rank must expect as much from itself as it sends itself: refused before anything
	 * moves. */
	recv_bytes[group->me] = send_bytes[group->me] + 1;
	CHECK(fsmoe_comm_alltoallv(group->comm, NULL, send_bytes, send_at, NULL, recv_bytes,
				   recv_at) < 0);
}

/* A pattern between processes moves what it moves in one memory, which tests/comm/pattern.c
 * knows. */
static void test_exchange(const struct group *group, enum fsmoe_pattern_kind kind, size_t outer,
			  size_t bytes)
{
	struct fsmoe_pattern me = {kind, group->n, group->me, outer, bytes};
	size_t most = outer * bytes * (size_t)group->n;
	unsigned char *send = malloc(most + 1), *other = malloc(most + 1);
	unsigned char *recv = malloc(most + 1), *expected = malloc(most + 1);

	memset(recv, 0xEE, most + 1);
	memset(expected, 0xEE, most + 1);
	for (int from = 0; from < group->n; from++)
	{
		struct fsmoe_pattern it = {kind, group->n, from, outer, bytes};
		for (size_t i = 0; i < most; i++)
			other[i] = byte(group->members[from], (int)kind, i);
		if (from == group->me)
			memcpy(send, other, most);
		fsmoe_pieces_copy(expected, fsmoe_pattern_recv(&me, from), other,
				  fsmoe_pattern_send(&it, group->me));
	}
	CHECK(fsmoe_comm_exchange(group->comm, (struct fsmoe_pattern){kind, 0, 0, outer, bytes},
				  send, recv) == 0);
	CHECK(memcmp(recv, expected, most + 1) == 0);
	free(send);
	free(other);
	free(recv);
	free(expected);
}

static void test_patterns(const struct group *group)
{
	for (int kind = FSMOE_PATTERN_ALLTOALL; kind <= FSMOE_PATTERN_SCATTER; kind++)
		for (size_t outer = 1; outer <= 4; outer++)
			for (size_t c = 0; c < NCOUNTS; c++)
				test_exchange(group, (enum fsmoe_pattern_kind)kind, outer,
					      counts[c]);
}

static void test_gather_and_broadcast(const struct group *group)
{
	for (size_t c = 0; c < NCOUNTS; c++)
	{
		size_t n = counts[c];
		unsigned char *send = malloc(n + 1), *recv = malloc(n * (size_t)group->n + 1);
		for (size_t i = 0; i < n; i++)
			send[i] = byte(group->world_rank, 0, i);
		CHECK(fsmoe_comm_allgather(group->comm, send, recv, n) == 0);
		for (int from = 0; from < group->n; from++)
			for (size_t i = 0; i < n; i++)
				CHECK(recv[(size_t)from * n + i] ==
				      byte(group->members[from], 0, i));
		/* In place. */
		memset(recv, 0, n * (size_t)group->n);
		memcpy(recv + (size_t)group->me * n, send, n);
		CHECK(fsmoe_comm_allgather(group->comm, recv + (size_t)group->me * n, recv, n) ==
		      0);
		for (int from = 0; from < group->n; from++)
			for (size_t i = 0; i < n; i++)
				CHECK(recv[(size_t)from * n + i] ==
				      byte(group->members[from], 0, i));

		int root = (int)(c % (size_t)group->n);
		CHECK(fsmoe_comm_broadcast(group->comm, send, n, root) == 0);
		for (size_t i = 0; i < n; i++)
			CHECK(send[i] == byte(group->members[root], 0, i));
		free(send);
		free(recv);
	}
	CHECK(fsmoe_comm_broadcast(group->comm, NULL, 0, group->n) < 0);
	CHECK(fsmoe_comm_broadcast(group->comm, NULL, 0, -1) < 0);
	CHECK(fsmoe_comm_barrier(group->comm) == 0);
}

struct group get_group(fsmoe_comms_t comms, fsmoe_groups_t groups, enum fsmoe_group kind)
{
	struct group group = {.comm = fsmoe_comms_get(comms, kind), .n = 64};

	group.world_rank = fsmoe_topo_rank(fsmoe_groups_topo(groups));
	CHECK(fsmoe_groups_members(groups, kind, group.world_rank, group.members, &group.n) == 0);
	CHECK(group.n == group.comm->size);
	group.me = group.comm->rank;
	CHECK(group.members[group.me] == group.world_rank);
	return group;
}

void test_collectives(fsmoe_comms_t comms, fsmoe_groups_t groups)
{
	for (int kind = 0; kind < FSMOE_NGROUPS; kind++)
	{
		struct group group = get_group(comms, groups, (enum fsmoe_group)kind);
		test_alltoall(&group);
		test_alltoallv(&group);
		test_patterns(&group);
		test_gather_and_broadcast(&group);
		for (int real = 0; real < FSMOE_NREALS; real++)
		{
			test_allreduce(&group, (enum fsmoe_real)real);
			test_reduce_scatter(&group, (enum fsmoe_real)real);
		}
	}
}
