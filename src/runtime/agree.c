/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"
#include "runtime/runtime_internal.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <string.h>

/* What all ranks must have alike: how many collectives there are, and a hash of which,
 * over which kind of group, on which lane, in which order. */
struct fingerprint
{
	uint64_t collectives, hash;
};

static struct fingerprint fingerprint_of(const struct fsmoe_program *p)
{
	struct fingerprint f = {.hash = FSMOE_HASH_START};

	for (int i = 0; i < p->nnodes; i++)
	{
		const struct fsmoe_node *node = &p->nodes[i];
		int words[3];
		if (!FSMOE_KIND_IS_COMM(node->op->kind))
			continue;
		words[0] = node->op->group(node->args);
		words[1] = node->lane;
		words[2] = node->seq;
		f.hash = fsmoe_hash(f.hash, words, sizeof(words));
		f.hash = fsmoe_hash(f.hash, node->op->name, strlen(node->op->name));
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
