/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_BASE_HASH_H
#define FSMOE_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* FNV-1a, 64 bits. */
#define FSMOE_HASH_START UINT64_C(0xcbf29ce484222325)

/* Goes on from `hash`. */
static inline uint64_t fsmoe_hash(uint64_t hash, const void *data, size_t bytes)
{
	const unsigned char *byte = (const unsigned char *)data;

	for (size_t i = 0; i < bytes; i++)
		hash = (hash ^ byte[i]) * UINT64_C(0x100000001b3);
	return hash;
}

#endif
