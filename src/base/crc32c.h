/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_BASE_CRC32C_H
#define FSMOE_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * CRC32C (Castagnoli): the checksum of iSCSI, ext4 and cloud storage; of "123456789" it is
 * e3069283.
 */
uint32_t fsmoe_crc32c(const void *data, size_t bytes);

/*
 * The same in parts that different ranks compute. A raw CRC starts from 0 and is linear: the raw
 * CRC of a tensor is the exclusive or of those of its slices, each with zeros where the others
 * are, whatever the order.
 */
uint32_t fsmoe_crc32c_raw(uint32_t raw, const void *data, size_t bytes); /* goes on from `raw` */
uint32_t fsmoe_crc32c_zeros(uint32_t raw, uint64_t bytes); /* as if `bytes` zeros came next */
/* The CRC32C of `bytes` bytes in all from their raw one. */
uint32_t fsmoe_crc32c_final(uint32_t raw, uint64_t bytes);

#endif
