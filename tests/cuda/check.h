/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TESTS_CUDA_CHECK_H
#define FSMOE_TESTS_CUDA_CHECK_H

/* Parts of check-cuda. Every function returns how many of its checks failed. */

/* main() of tests/ops/ops.c, moe/ops.c and moe/conformance-ops.c, whose tables of cases
 * are run here on a GPU: the opcase_main() that they call is ours. */
int ops_main(void);
int moe_main(void);
int gates_main(void);

/* Training steps, GPU against CPU, of this MPI job or of one rank; what kernels report. */
int check_training(void);
int check_faults(void);
/* Training steps in bf16. */
int check_bf16(void);
/* 200 of them beside float. */
int check_band(void);
/* Plans changed between steps, against plans from the start. */
int check_replan(void);
/* Experts whose products in bf16 are of our own choice. */
int check_large(void);
/* Memory of the GPU, predicted and taken. */
int check_room(void);

/* Calls of the CUDA runtime by this program and the libraries it is linked with (StarPU, not what
 * cuBLAS and NCCL have linked into themselves) since it started. */
struct cuda_calls
{
	int allocations, frees; /* of memory, the device's or pinned */
	int waits;              /* for the whole device */
};
struct cuda_calls count_cuda_calls(void);
/* 0: none of them since then; else 1, and it says how many. */
int count_is_idle(const struct cuda_calls *before);

#endif
