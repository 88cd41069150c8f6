/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/cuda/launch.cuh"
#include "graph/basic.h"

/* These take float and bf16 alike: whatever the tensors at hand are. */

template <class T> struct fill
{
	T *out;
	float value;

	template <int V> __device__ void run(size_t i) const
	{
		pack<V> a;
		for (int j = 0; j < V; j++)
			a.v[j] = value;
		store<V>(out + i, a);
	}
};

/* More terms than these are summed in several passes. */
static constexpr int TERMS = 16;

/* Terms may be the output itself: an element is read before it is written. */
template <class T> struct sum
{
	const T *in[TERMS];
	int n;
	T *out;

	template <int V> __device__ void run(size_t i) const
	{
		pack<V> total = load<V>(in[0] + i);
		for (int k = 1; k < n; k++)
		{
			pack<V> a = load<V>(in[k] + i);
			for (int j = 0; j < V; j++)
				total.v[j] += a.v[j];
		}
		store<V>(out + i, total);
	}
};

/* Except for the elements that the first contribution writes. */
template <class T>
static int zero(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda, T *out, size_t n)
{
	const struct fsmoe_fresh_node *fresh = call->fresh;
	const size_t offset = call->tensor[0]->offset;
	size_t at = 0;
	int err = 0;

	for (int i = 0; i <= (fresh ? fresh->nskip : 0) && !err; i++)
	{
		bool last = !fresh || i == fresh->nskip;
		size_t end = last ? n : fresh->skip[i].at - offset;
		if (end > at)
			err = enqueued(call, cudaMemsetAsync(out + at, 0, (end - at) * sizeof(T),
							     cuda->stream));
		at = last ? n : end + fresh->skip[i].n;
	}
	return err;
}

template <class T>
static int fill_with(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_fill_args *args =
		static_cast<const struct fsmoe_fill_args *>(call->args);
	fill<T> f = {data_of<T>(call, 0), (float)args->value};
	size_t n = fsmoe_count(call->tensor[0]);

	if (args->value == 0)
		return zero<T>(call, cuda, f.out, n);
	return map(call, cuda, f, n, aligned(f.out));
}

template <class T> static int add_all(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	sum<T> f = {{nullptr}, 0, data_of<T>(call, call->n - 1)};
	int err = 0;

	for (int k = 0; k < call->n - 1 && !err;)
	{
		bool wide = aligned(f.out);
		f.n = 0;
		if (k > 0)
			f.in[f.n++] = f.out;
		for (; k < call->n - 1 && f.n < TERMS; k++)
		{
			f.in[f.n++] = data_of<const T>(call, k);
			wide = wide && aligned(call->data[k]);
		}
		err = map(call, cuda, f, fsmoe_count(call->tensor[0]), wide);
	}
	return err;
}

/* Gradients of activations may be bf16, those of parameters never are. */
template <class T> struct add_to
{
	const T *in;
	float *out;

	template <int V> __device__ void run(size_t i) const
	{
		pack<V> a = load<V>(in + i), total = load<V>(out + i);
		for (int j = 0; j < V; j++)
			total.v[j] += a.v[j];
		store<V>(out + i, total);
	}
};

template <class T>
static int accumulate(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	add_to<T> f = {data_of<const T>(call, 0), data_of<float>(call, 1)};

	return map(call, cuda, f, fsmoe_count(call->tensor[0]), aligned(f.in, f.out));
}

extern "C" int fsmoe_fill_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	return holds_bf16(call, 0) ? fill_with<bf16>(call, cuda) : fill_with<float>(call, cuda);
}

extern "C" int fsmoe_sum_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	return holds_bf16(call, 0) ? add_all<bf16>(call, cuda) : add_all<float>(call, cuda);
}

extern "C" int fsmoe_accumulate_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	return holds_bf16(call, 0) ? accumulate<bf16>(call, cuda) : accumulate<float>(call, cuda);
}
