/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/runtime.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <string.h>

/* What all ranks must have alike: how many collectives there are, and a hash (FNV-1a) of which,
 * over which kind of group, on which lane, in which order. */
struct fingerprint
{
	uint64_t collectives, hash;
};

static void mix(struct fingerprint *f, const void *data, size_t size)
{
	const unsigned char *byte = data;

	for (size_t i = 0; i < size; i++)
		f->hash = (f->hash ^ byte[i]) * 0x100000001b3u;
}

static struct fingerprint fingerprint_of(const struct fsmoe_program *p)
{
	struct fingerprint f = {.hash = 0xcbf29ce484222325u};

	for (int i = 0; i < p->nnodes; i++)
	{
		const struct fsmoe_node *node = &p->nodes[i];
		int words[3];
		if (!FSMOE_KIND_IS_COMM(node->op->kind))
			continue;
		words[0] = node->op->group(node->args);
		words[1] = node->lane;
		words[2] = node->seq;
		mix(&f, words, sizeof(words));
		mix(&f, node->op->name, strlen(node->op->name));
		f.collectives++;
	}
	return f;
}

int fsmoe_program_agree(struct fsmoe_program *p)
{
	struct fsmoe_comm *world = fsmoe_comms_get(p->runtime->comms, FSMOE_GROUP_WORLD);
	struct fingerprint all[world->size], mine = fingerprint_of(p);
	int err = fsmoe_comm_allgather(world, &mine, all, sizeof(mine));

	for (int r = 1; r < world->size && !err; r++)
		if (memcmp(&all[r], &all[0], sizeof(mine)))
			err = fsmoe_fail(EINVAL,
					 "rank %d built another graph than rank 0 (%llu and %llu "
					 "collectives): build "
					 "the same operations in the same order on every rank",
					 r, (unsigned long long)all[r].collectives,
					 (unsigned long long)all[0].collectives);
	return err;
}
