/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_KERNELS_H
#define FSMOE_KERNELS_H

#include <fsmoe/op.h>

/* Declares the float and the double kernel of codelets/cpu that a row names. */
#define FSMOE_KERNELS(name)                                                                        \
	int fsmoe_##name##_f32(const struct fsmoe_call *call);                                     \
	int fsmoe_##name##_f64(const struct fsmoe_call *call)
#define FSMOE_CPU(name) .cpu = {fsmoe_##name##_f32, fsmoe_##name##_f64}

#endif
