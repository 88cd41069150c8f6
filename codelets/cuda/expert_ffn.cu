/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/cuda/expert_ffn.cuh"
#include "codelets/cuda/product.cuh"

/*
 * Forward, and backward to the input. Products are strided batched over the experts, once per
 * source; with one expert the rows of all sources are one product. The ports for scratch that the
 * rows of these operations declare hold a block of the CPU's; a GPU wants whole chunks, from the
 * lane's scratch.
 */

/* A chunk (P, E, c, ...): `runs` products of `rows` rows for each of `experts`. */
struct sizes
{
	size_t P, E, c, M, H, Z;
	size_t runs, rows;

	size_t total() const
	{
		return P * E * c;
	}
};

static sizes sizes_of(const struct fsmoe_tensor_info *x, size_t Z, size_t inputs)
{
	const size_t *d = x->shape.dim;
	bool one = d[1] == 1;

	return sizes{d[0],       d[1], d[2],           d[3],
		     Z / inputs, Z,    one ? 1 : d[0], one ? d[0] * d[2] : d[2]};
}

/* Matrices of rows of n columns that lie ld apart, one for each run and expert. */
template <class T> struct block
{
	T *x;
	size_t n, ld, next_run, next_expert;
};

/* Tensors that travel lie as (P, E, c, ...), those that stay as (E, P, c, ...). */
template <class T> static block<T> by_source(const sizes &s, T *x, size_t n)
{
	return {x, n, n, s.E * s.rows * n, s.rows * n};
}

template <class T> static block<T> by_expert(const sizes &s, T *x, size_t n, size_t ld)
{
	return {x, n, ld, s.rows * ld, s.runs * s.rows * ld};
}

/* y = x op(w) + beta y for every expert, of run r; w (N, K), or (K, N) when not transposed. */
template <class T>
static fsmoe_product of_run(const sizes &s, size_t r, bool trans, const block<T> &x, const T *w,
			    const block<T> &y, float beta)
{
	return product(s.rows, y.n, x.n, plain<T>(x.x + r * x.next_run, x.ld, x.next_expert),
		       trans ? transposed(w, x.n, y.n * x.n) : plain(w, y.n, y.n * x.n),
		       into(y.x + r * y.next_run, y.ld, y.next_expert), s.E, beta);
}

template <class T>
static int multiply_rows(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			 const sizes &s, bool trans, const block<T> &x, const T *w,
			 const block<T> &y, float beta)
{
	int err = 0;

	for (size_t r = 0; r < s.runs && !err; r++)
		err = multiply(call, cuda, of_run(s, r, trans, x, w, y, beta));
	return err;
}

/* --- products with epilogues, of bf16 --------------------------------------------------------- */

/* Done to a product's result while it is in registers (codelets/cuda/product.h). */
struct epilogue
{
	cublasLtEpilogue_t kind;
	const bf16 *bias; /* (E, n) or NULL */
	bf16 *aux;        /* lies as the result */
};

/* y = x op(w) with an epilogue. *done is 0 when cuBLAS has none that fits, and y is to be computed
 * otherwise. */
static int multiply_rows_with(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			      const sizes &s, bool trans, const block<bf16> &x, const bf16 *w,
			      const block<bf16> &y, const epilogue &e, int *done)
{
	int err = 0;

	*done = 1;
	for (size_t r = 0; r < s.runs && !err && *done; r++)
	{
		fsmoe_product p = of_run(s, r, trans, x, w, y, 0);
		p.epilogue = e.kind;
		p.bias = e.bias;
		p.bias_stride = y.n;
		p.aux = e.aux + r * y.next_run;
		p.ld_aux = y.ld;
		p.aux_stride = y.next_expert;
		err = fsmoe_product_enqueue(call, cuda, &p, done);
	}
	return err;
}

/* Computes h = gelu(z), z = x w^T + b1 of one chunk. The epilogue of the backward,
 * dz = (dy w2) gelu'(z), is not used: it was slower than a pass of its own, 1.42 ms against 1.00
 * for M 2048, H 8192 and 9824 rows on an H100. */
static int hidden_at_once(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			  const sizes &s, const weights &w, bf16 *x, bf16 *z, bf16 *h, int *done)
{
	const bf16 *bias = w.in_bias >= 0 ? copy_of(call, (size_t)w.in_bias) : nullptr;
	const epilogue e = {bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX,
			    bias, z};

	*done = 0;
	if (s.H % 8 || s.M % 8 || (w.in_bias >= 0 && !bias) || !aligned(x, z, h))
		return 0;
	return multiply_rows_with(call, cuda, s, true, by_source(s, x, s.M),
				  weight_of<bf16>(call, (size_t)w.in[0]), by_expert(s, h, s.H, s.H),
				  e, done);
}

static int hidden_at_once(const struct fsmoe_call *, const struct fsmoe_cuda *, const sizes &,
			  const weights &, float *, float *, float *, int *done)
{
	*done = 0;
	return 0;
}

/* --- forward -------------------------------------------------------------------------------- */

template <class T> struct add_bias
{
	const float *bias; /* (E, M) */
	T *y;              /* (P, E, c, M) */
	size_t E, c, M;

	template <int V> __device__ void run(size_t row, size_t m) const
	{
		pack<V> a = load<V>(y + row * M + m), b = load<V>(bias + row / c % E * M + m);
		for (int j = 0; j < V; j++)
			a.v[j] += b.v[j];
		store<V>(y + row * M + m, a);
	}
};

template <class T> static size_t forward_scratch(const struct fsmoe_call *call)
{
	const struct fsmoe_ffn *ffn = net_of(call).ffn;
	scratch s = {};

	s.take<T>(fsmoe_count(call->tensor[2 + ffn->nweights]) / (size_t)fsmoe_ffn_inputs(ffn));
	return s.used;
}

template <class T> static int forward(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_expert_args &net = net_of(call);
	const size_t Y = 1 + (size_t)net.ffn->nweights;
	const weights w = weights_of(call, net.ffn, 1, false);
	const sizes s = sizes_of(call->tensor[0], fsmoe_columns(call->tensor[Y + 1]), w.nin);
	T *x = data_of<T>(call, 0), *y = data_of<T>(call, Y), *z = data_of<T>(call, Y + 1);
	scratch room = scratch_of(cuda);
	T *h = room.take<T>(s.total() * s.H);
	activate<void, T> act = {
		one_piece(0, s.c, z), float_at(call, w.in_bias), h, s.P, 0, s.c, s.H, s.Z};
	add_bias<T> out = {float_at(call, w.out_bias), y, s.E, s.c, s.M};
	int done = 0, err = 0;

	if (net.activation == FSMOE_FFN_GELU)
		err = hidden_at_once(call, cuda, s, w, x, z, h, &done);
	for (size_t j = 0; !done && j < w.nin && !err; j++)
		err = multiply_rows(call, cuda, s, true, by_source(s, x, s.M),
				    weight_of<T>(call, (size_t)w.in[j]),
				    by_expert(s, z + j * s.H, s.H, s.Z), 0);
	if (!done && !err)
		err = activated(call, cuda, net, act, s.total());
	if (!err)
		err = multiply_rows(call, cuda, s, true, by_expert(s, h, s.H, s.H),
				    weight_of<T>(call, (size_t)w.out), by_source(s, y, s.M), 0);
	if (!err && out.bias)
		err = map_rows(call, cuda, out, s.total(), s.M, aligned(out.bias, y));
	return err;
}

/* --- backward: the input -------------------------------------------------------------------- */

/* dh, which stands in the first H columns of dz, becomes dz. */
template <class A, class T> struct chain
{
	pieces<T> z;
	T *dz; /* (E, P, c, Z) */
	size_t lo, c, H, Z;

	template <int V> __device__ void run(size_t row, size_t k) const
	{
		A::template chain<V>(z.row(row / c, lo + row % c, Z), dz + row * Z, H, k);
	}
};

template <class A, class T>
static int chain_by(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
		    const chain<void, T> &a, size_t rows)
{
	chain<A, T> f = {a.z, a.dz, a.lo, a.c, a.H, a.Z};

	return map_rows(call, cuda, f, rows, f.H, aligned(f.z) && aligned(f.dz));
}

template <class T>
static int chained(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
		   const struct fsmoe_expert_args &net, const chain<void, T> &a, size_t rows)
{
	switch (net.activation)
	{
	case FSMOE_FFN_RELU:
		return chain_by<act_relu>(call, cuda, a, rows);
	case FSMOE_FFN_SWIGLU:
		return chain_by<act_swiglu>(call, cuda, a, rows);
	default:
		return chain_by<act_gelu>(call, cuda, a, rows);
	}
}

template <class T>
static int backward_input(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_expert_input_args *a =
		static_cast<const struct fsmoe_expert_input_args *>(call->args);
	const size_t DX = 1 + (size_t)fsmoe_ffn_matrices(a->net.ffn);
	const weights w = weights_of(call, a->net.ffn, 1, true);
	const sizes s = sizes_of(call->tensor[0], fsmoe_columns(call->tensor[DX + 1]), w.nin);
	T *dy = data_of<T>(call, 0), *dx = data_of<T>(call, DX), *dz = data_of<T>(call, DX + 1);
	chain<void, T> f = {{}, dz, a->lo, s.c, s.H, s.Z};
	int err = pieces_of(call, a->n, a->at, DX + 2, &f.z);

	if (!err)
		err = multiply_rows(call, cuda, s, false, by_source(s, dy, s.M),
				    weight_of<T>(call, (size_t)w.out), by_expert(s, dz, s.H, s.Z),
				    0);
	if (!err)
		err = chained(call, cuda, a->net, f, s.total());
	for (size_t j = 0; j < w.nin && !err; j++)
		err = multiply_rows(call, cuda, s, false, by_expert(s, dz + j * s.H, s.H, s.Z),
				    weight_of<T>(call, (size_t)w.in[j]), by_source(s, dx, s.M),
				    j ? 1 : 0);
	return err;
}

CUDA_KERNELS(ffn, forward)
CUDA_KERNELS(ffn_backward_input, backward_input)
CUDA_SCRATCH(ffn, forward_scratch)
