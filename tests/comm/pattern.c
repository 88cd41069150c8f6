/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns of exchanges on groups that nobody has: both ends of every message agree, everything
 * that should arrive arrives once and where the pattern's definition says. */
#include "comm/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum
{
	MOST = 9 /* ranks */
};

static int has_all(enum fsmoe_pattern_kind kind, enum fsmoe_pattern_kind rooted, int rank)
{
	return kind == FSMOE_PATTERN_ALLTOALL || (kind == rooted && rank == 0);
}

/* Bytes of the buffers of a rank: what it sends from, what it receives in. */
static size_t send_bytes(const struct fsmoe_pattern *x)
{
	size_t one = x->outer * x->bytes;

	if (x->kind == FSMOE_PATTERN_GATHER)
		return one;
	return has_all(x->kind, FSMOE_PATTERN_SCATTER, x->rank) ? one * (size_t)x->size : 0;
}

static size_t recv_bytes(const struct fsmoe_pattern *x)
{
	size_t one = x->outer * x->bytes;

	if (x->kind == FSMOE_PATTERN_SCATTER)
		return one;
	return has_all(x->kind, FSMOE_PATTERN_GATHER, x->rank) ? one * (size_t)x->size : 0;
}

static unsigned char byte(int rank, size_t i)
{
	return (unsigned char)(1 + (rank * 89 + (int)(i * 7)) % 255);
}

/* Byte i of what arrives at a rank, by the definitions in comm/pattern.h. */
static unsigned char expected(const struct fsmoe_pattern *x, size_t i)
{
	size_t P = (size_t)x->size, me = (size_t)x->rank;
	size_t within = i % x->bytes, block = i / x->bytes;

	switch (x->kind)
	{
	case FSMOE_PATTERN_GATHER: /* i is (outer, from, byte) */
		return byte((int)(block % P), block / P * x->bytes + within);
	case FSMOE_PATTERN_SCATTER: /* i is (outer, byte) */
		return byte(0, (block * P + me) * x->bytes + within);
	default:
		return byte((int)(block % P), (block / P * P + me) * x->bytes + within);
	}
}

static void check(enum fsmoe_pattern_kind kind, int size, size_t outer, size_t bytes)
{
	struct fsmoe_pattern x[MOST];
	unsigned char *send[MOST], *recv[MOST];

	for (int r = 0; r < size; r++)
	{
		x[r] = (struct fsmoe_pattern){kind, size, r, outer, bytes};
		send[r] = malloc(send_bytes(&x[r]) + 1);
		recv[r] = calloc(recv_bytes(&x[r]) + 1, 1); /* no byte that is sent is 0 */
		for (size_t i = 0; i < send_bytes(&x[r]); i++)
			send[r][i] = byte(r, i);
	}
	for (int from = 0; from < size; from++)
		for (int to = 0; to < size; to++)
		{
			struct fsmoe_pieces out = fsmoe_pattern_send(&x[from], to);
			struct fsmoe_pieces in = fsmoe_pattern_recv(&x[to], from);
			assert_int_equal(out.n, in.n);
			assert_int_equal(out.bytes, in.bytes);
			for (size_t i = 0; i < in.n; i++) /* nothing arrives twice */
				assert_int_equal(recv[to][in.at + i * in.stride], 0);
			fsmoe_pieces_copy(recv[to], in, send[from], out);
		}
	for (int r = 0; r < size; r++)
	{
		for (size_t i = 0; i < recv_bytes(&x[r]); i++)
			assert_int_equal(recv[r][i], expected(&x[r], i));
		assert_int_equal(recv[r][recv_bytes(&x[r])], 0);
		free(send[r]);
		free(recv[r]);
	}
}

static void everything_arrives_once(void **state)
{
	(void)state;
	for (int kind = FSMOE_PATTERN_ALLTOALL; kind <= FSMOE_PATTERN_SCATTER; kind++)
		for (int size = 1; size <= MOST; size++)
			for (size_t outer = 1; outer <= 5; outer++)
				for (size_t bytes = 1; bytes <= 12; bytes += 11)
					check((enum fsmoe_pattern_kind)kind, size, outer, bytes);
}

static void kinds_have_names(void **state)
{
	(void)state;
	assert_string_equal(fsmoe_pattern_name(FSMOE_PATTERN_ALLTOALL), "alltoall");
	assert_string_equal(fsmoe_pattern_name(FSMOE_PATTERN_GATHER), "gather");
	assert_string_equal(fsmoe_pattern_name(FSMOE_PATTERN_SCATTER), "scatter");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(everything_arrives_once),
					   cmocka_unit_test(kinds_have_names)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
