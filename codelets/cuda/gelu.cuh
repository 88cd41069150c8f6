/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CUDA_GELU_CUH
#define FSMOE_CUDA_GELU_CUH

/* GELU of one element, as in codelets/cpu/gelu.h: y = x s, s = 1 / (1 + exp(-2 u)),
 * u = sqrt(2 / pi) (x + 0.044715 x^3). */
#define GELU_ROOT_2_OVER_PI 0.79788456080286535588f
#define GELU_CUBIC          0.044715f

static __device__ __forceinline__ float gelu_sigmoid(float x)
{
	return 1 / (1 + expf(-2 * GELU_ROOT_2_OVER_PI * (x + GELU_CUBIC * x * x * x)));
}

static __device__ __forceinline__ float gelu_value(float x)
{
	return x * gelu_sigmoid(x);
}

/* dy / dx */
static __device__ __forceinline__ float gelu_slope(float x)
{
	float s = gelu_sigmoid(x);
	float du = GELU_ROOT_2_OVER_PI * (1 + 3 * GELU_CUBIC * x * x);

	return s + 2 * x * s * (1 - s) * du;
}

#endif
