/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CHUNKS_H
#define FSMOE_CHUNKS_H

/* The most chunks of a layer that CUDA kernels take: where each lies is passed to them by value. */
enum
{
	FSMOE_CUDA_CHUNKS = 64
};

#endif
