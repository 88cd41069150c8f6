/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/cuda/product.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * cuBLASLt names up to eight kernels that fit, the one it thinks fastest first. Which of them it is
 * depends on the version and the shape alone, and so does our choice: nothing is timed, every run
 * and every rank takes the same. Tiles we prefer, by ms on an H100 with CUDA 13.0, 4 experts;
 * `first` is cuBLASLt's own choice, `default` what cublasGemmStridedBatchedEx takes:
 *
 *	gradients of weights            m     n     k  default  first  128x160
 *	  M 4096 H 14336, writing   14336  4096  1229    0.984  0.973    0.819
 *	  the same, adding          14336  4096  1229    1.113  1.104    1.025
 *	  both sources at once      14336  4096  2458    1.852  1.785    1.650
 *	  into the output            4096 14336  2458    1.761  1.762    1.659
 *	  M 2048 H 8192, writing     8192  2048  1229    0.283  0.279    0.250
 *	  the same, adding           8192  2048  1229    0.354  0.356    0.315
 *	  both sources at once       8192  2048  2458    0.520  0.477    0.482
 *	  into the output            2048  8192  2458    0.548  0.546    0.492
 *	others                                                            128x248  128x208
 *	  M 4096 H 14336, forward    1229 14336  4096    0.809  0.802    0.798
 *	                             1229  4096 14336    0.788  0.782    0.779    0.784
 *	  to the input               1229 14336  4096    0.864  0.801    0.789
 *	                             1229  4096 14336    0.811  0.807    0.805    0.803
 *	  M 2048 H 8192, forward     1229  8192  2048    0.269  0.267    0.263    0.266
 *	                             1229  2048  8192    0.233  0.232             0.226
 *	  to the input               1229  8192  2048    0.247  0.245    0.243    0.245
 *	                             1229  2048  8192    0.222  0.216             0.218
 *
 * All of them leave the same bits, as sums over k are not split.
 */
enum
{
	CHOICES = 64,    /* shapes of a model; beyond, the oldest is asked for again */
	CANDIDATES = 24, /* more than there ever are */
	TILES = 2,
	ALIGNMENT = 256 /* nobody asks for more */
};

static const int preferred[2][TILES] = {
	[0] = {CUBLASLT_MATMUL_TILE_128x248, CUBLASLT_MATMUL_TILE_128x208},
	[1] = {CUBLASLT_MATMUL_TILE_128x160}, /* op(A) = A^T: sums over rows */
};

/* The key of a choice. */
enum
{
	TRANSPOSED,
	INTO,
	EPILOGUE,
	M,
	N,
	K,
	LDA,
	LDB,
	LDC,
	STRIDE_A,
	STRIDE_B,
	STRIDE_C,
	BATCH,
	ALIGN_A,
	ALIGN_B,
	ALIGN_C,
	KEYS
};

struct choice
{
	size_t key[KEYS];
	int found;
	cublasLtMatmulDescOpaque_t what;
	cublasLtMatrixLayoutOpaque_t a, b, c; /* as cuBLAS calls them */
	cublasLtMatmulAlgo_t algorithm;
};

struct fsmoe_products
{
	void *workspace;
	size_t bytes;
	int n, next;
	struct choice choice[CHOICES];
};

struct fsmoe_products *fsmoe_products_make(void *workspace, size_t bytes)
{
	struct fsmoe_products *products = calloc(1, sizeof(*products));

	if (products)
	{
		products->workspace = workspace;
		products->bytes = bytes;
	}
	return products;
}

void fsmoe_products_free(struct fsmoe_products *products)
{
	free(products);
}

/* --- what cuBLAS is told ---------------------------------------------------------------------- */

static void keep(cublasStatus_t *status, cublasStatus_t now)
{
	if (*status == CUBLAS_STATUS_SUCCESS)
		*status = now;
}

static void set(struct choice *c, cublasLtMatmulDescAttributes_t attribute, const void *value,
		size_t bytes, cublasStatus_t *status)
{
	keep(status, cublasLtMatmulDescSetAttribute(&c->what, attribute, value, bytes));
}

static void set_int(struct choice *c, cublasLtMatmulDescAttributes_t attribute, int value,
		    cublasStatus_t *status)
{
	const int32_t x = value;

	set(c, attribute, &x, sizeof(x), status);
}

static void set_stride(struct choice *c, cublasLtMatmulDescAttributes_t attribute, size_t value,
		       cublasStatus_t *status)
{
	const int64_t x = (int64_t)value;

	set(c, attribute, &x, sizeof(x), status);
}

static void set_matrix(cublasLtMatrixLayoutOpaque_t *layout, cudaDataType_t type, size_t rows,
		       size_t columns, size_t ld, size_t stride, size_t batch,
		       cublasStatus_t *status)
{
	const int32_t count = (int32_t)batch;
	const int64_t apart = (int64_t)stride;

	keep(status, cublasLtMatrixLayoutInit(layout, type, rows, columns, (int64_t)ld));
	if (batch == 1)
		return;
	keep(status, cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
						      &count, sizeof(count)));
	keep(status,
	     cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
					      &apart, sizeof(apart)));
}

/* Addresses alone differ among calls of one shape. */
static cublasStatus_t set_addresses(struct choice *c, const struct fsmoe_product *p)
{
	cublasStatus_t status = CUBLAS_STATUS_SUCCESS;

	if (p->bias)
		set(c, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p->bias, sizeof(p->bias), &status);
	if (p->aux)
		set(c, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &p->aux, sizeof(p->aux), &status);
	return status;
}

/* cuBLAS is column-major: it computes C^T = op(B)^T op(A)^T. */
static cublasStatus_t describe(struct choice *c, const struct fsmoe_product *p)
{
	cublasStatus_t status = cublasLtMatmulDescInit(&c->what, CUBLAS_COMPUTE_32F, CUDA_R_32F);

	set_int(c, CUBLASLT_MATMUL_DESC_TRANSA, p->b.trans ? CUBLAS_OP_T : CUBLAS_OP_N, &status);
	set_int(c, CUBLASLT_MATMUL_DESC_TRANSB, p->a.trans ? CUBLAS_OP_T : CUBLAS_OP_N, &status);
	set_int(c, CUBLASLT_MATMUL_DESC_EPILOGUE, (int)p->epilogue, &status);
	if (p->bias)
	{
		set_int(c, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, CUDA_R_16BF, &status);
		set_stride(c, CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, p->bias_stride, &status);
	}
	if (p->aux)
	{
		set_stride(c, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, p->ld_aux, &status);
		set_stride(c, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, p->aux_stride,
			   &status);
	}
	set_matrix(&c->a, CUDA_R_16BF, p->b.trans ? p->k : p->n, p->b.trans ? p->n : p->k, p->b.ld,
		   p->b.stride, p->batch, &status);
	set_matrix(&c->b, CUDA_R_16BF, p->a.trans ? p->m : p->k, p->a.trans ? p->k : p->m, p->a.ld,
		   p->a.stride, p->batch, &status);
	set_matrix(&c->c, p->into, p->n, p->m, p->ldc, p->stride_c, p->batch, &status);
	keep(&status, set_addresses(c, p));
	return status;
}

/* --- choosing --------------------------------------------------------------------------------- */

static size_t alignment(const void *address)
{
	size_t n = ALIGNMENT;

	while ((uintptr_t)address % n)
		n /= 2;
	return n;
}

static void key_of(const struct fsmoe_product *p, size_t key[KEYS])
{
	key[TRANSPOSED] = (p->a.trans ? 1 : 0) + (p->b.trans ? 2 : 0);
	key[INTO] = (size_t)p->into;
	key[EPILOGUE] = (size_t)p->epilogue;
	key[M] = p->m;
	key[N] = p->n;
	key[K] = p->k;
	key[LDA] = p->a.ld;
	key[LDB] = p->b.ld;
	key[LDC] = p->ldc;
	key[STRIDE_A] = p->a.stride;
	key[STRIDE_B] = p->b.stride;
	key[STRIDE_C] = p->stride_c;
	key[BATCH] = p->batch;
	key[ALIGN_A] = alignment(p->a.x);
	key[ALIGN_B] = alignment(p->b.x);
	key[ALIGN_C] = alignment(p->c);
}

static cublasStatus_t bound(cublasLtMatmulPreferenceOpaque_t *preference, size_t bytes,
			    const size_t key[KEYS])
{
	static const struct
	{
		cublasLtMatmulPreferenceAttributes_t attribute;
		int key;
	} aligned[] = {{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, ALIGN_B},
		       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, ALIGN_A},
		       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, ALIGN_C},
		       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, ALIGN_C}};
	const uint64_t most = bytes;
	const uint32_t whole = CUBLASLT_REDUCTION_SCHEME_NONE;
	cublasStatus_t status = cublasLtMatmulPreferenceInit(preference);

	keep(&status, cublasLtMatmulPreferenceSetAttribute(preference,
							   CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
							   &most, sizeof(most)));
	keep(&status, cublasLtMatmulPreferenceSetAttribute(
			      preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &whole,
			      sizeof(whole)));
	for (size_t i = 0; i < sizeof(aligned) / sizeof(aligned[0]); i++)
	{
		const uint32_t n = (uint32_t)key[aligned[i].key];

		keep(&status, cublasLtMatmulPreferenceSetAttribute(preference, aligned[i].attribute,
								   &n, sizeof(n)));
	}
	return status;
}

static int tile_of(const cublasLtMatmulAlgo_t *algorithm)
{
	int32_t tile = 0;
	size_t written;

	cublasLtMatmulAlgoConfigGetAttribute(algorithm, CUBLASLT_ALGO_CONFIG_TILE_ID, &tile,
					     sizeof(tile), &written);
	return tile;
}

/* The first candidate of a tile that we prefer, else the first of all. With an epilogue it is
 * cuBLAS's word: nobody measured those. */
static int prefer(const cublasLtMatmulHeuristicResult_t *candidate, int n,
		  const struct fsmoe_product *p)
{
	const int *tile = preferred[p->a.trans ? 1 : 0];

	if (p->epilogue != CUBLASLT_EPILOGUE_DEFAULT)
		return 0;
	for (int t = 0; t < TILES && tile[t]; t++)
		for (int i = 0; i < n; i++)
			if (tile_of(&candidate[i].algo) == tile[t])
				return i;
	return 0;
}

static void choose(const struct fsmoe_products *products, cublasLtHandle_t handle,
		   const struct fsmoe_product *p, struct choice *c)
{
	cublasLtMatmulHeuristicResult_t candidate[CANDIDATES];
	cublasLtMatmulPreferenceOpaque_t preference;
	cublasStatus_t status = describe(c, p);
	int n = 0;

	keep(&status, bound(&preference, products->bytes, c->key));
	if (status == CUBLAS_STATUS_SUCCESS)
		status =
			cublasLtMatmulAlgoGetHeuristic(handle, &c->what, &c->a, &c->b, &c->c, &c->c,
						       &preference, CANDIDATES, candidate, &n);
	c->found = status == CUBLAS_STATUS_SUCCESS && n > 0;
	if (c->found)
		c->algorithm = candidate[prefer(candidate, n, p)].algo;
}

/* NULL: none was made yet. */
static struct choice *find(struct fsmoe_products *products, const size_t key[KEYS])
{
	for (int i = 0; i < products->n; i++)
		if (!memcmp(products->choice[i].key, key, sizeof(products->choice[i].key)))
			return &products->choice[i];
	return NULL;
}

int fsmoe_product_tile(struct fsmoe_products *products, const struct fsmoe_product *p)
{
	const struct choice *c;
	size_t key[KEYS];

	key_of(p, key);
	c = find(products, key);
	return c && c->found ? tile_of(&c->algorithm) : 0;
}

static struct choice *choice_for(struct fsmoe_products *products, cublasLtHandle_t handle,
				 const struct fsmoe_product *p)
{
	struct choice *c;
	size_t key[KEYS];

	key_of(p, key);
	c = find(products, key);
	if (c)
		return c;
	c = &products->choice[products->next];
	products->next = (products->next + 1) % CHOICES;
	products->n += products->n < CHOICES;
	memcpy(c->key, key, sizeof(key));
	choose(products, handle, p, c);
	return c;
}

int fsmoe_product_enqueue(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			  const struct fsmoe_product *p, int *done)
{
	const struct fsmoe_products *products = cuda->products;
	/* A handle of cuBLAS is one of cuBLASLt. */
	cublasLtHandle_t handle = (cublasLtHandle_t)cuda->cublas;
	struct choice *c = choice_for(cuda->products, handle, p);
	cublasStatus_t status;

	*done = 0;
	if (!c->found)
		return 0;
	status = set_addresses(c, p);
	if (status == CUBLAS_STATUS_SUCCESS)
		status = cublasLtMatmul(handle, &c->what, &p->alpha, p->b.x, &c->a, p->a.x, &c->b,
					&p->beta, p->c, &c->c, p->c, &c->c, &c->algorithm,
					products->workspace, products->bytes, cuda->stream);
	*done = status == CUBLAS_STATUS_SUCCESS;
	return *done ? 0
		     : fsmoe_fail(EIO, "cuBLASLt failed in '%s' (%zu x %zu x %zu, %zu times): %s",
				  call->node->op->name, p->m, p->n, p->k, p->batch,
				  cublasGetStatusString(status));
}
