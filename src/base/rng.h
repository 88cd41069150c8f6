/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_BASE_RNG_H
#define FSMOE_BASE_RNG_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Randomness without state: every number is a pure function of (seed, name, index), so that a
 * parameter, an order of samples or a noise does not depend on ranks, layout or schedule. The
 * values are part of what a run means: tests hold golden ones, and they do not change.
 */

/* A stream of numbers: the seed mixed with a hash (FNV-1a) of the name. */
uint64_t fsmoe_rng_key(uint64_t seed, const char *name);
/* A stream within a stream: (key, index) as a key of its own, for more coordinates than one. */
uint64_t fsmoe_rng_subkey(uint64_t key, uint64_t index);

/* Number `index` of the stream: 64 random bits, [0, 1), normal with deviation 1. */
uint64_t fsmoe_rng_bits(uint64_t key, uint64_t index);
double fsmoe_rng_uniform(uint64_t key, uint64_t index);
double fsmoe_rng_normal(uint64_t key, uint64_t index);

/* Where element `index` of 0 .. n-1 lies in an order of n drawn by the key: a bijection, found
 * without a table (a Feistel network, walked until it falls below n). index < n. */
uint64_t fsmoe_rng_permute(uint64_t key, uint64_t n, uint64_t index);

#ifdef __cplusplus
}
#endif

#endif
