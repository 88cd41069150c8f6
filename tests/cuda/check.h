/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TESTS_CUDA_CHECK_H
#define FSMOE_TESTS_CUDA_CHECK_H

/* What check-cuda is made of. Every function returns how many of its checks failed. */

/* main() of tests/ops/test-ops.c and tests/moe/moe-ops.c, whose tables of cases are run here on a
 * GPU: the opcase_main() that they call is ours. */
int ops_main(void);
int moe_main(void);

/* Training steps, GPU against CPU, of this MPI job or of one rank; what kernels report. */
int check_training(void);
int check_faults(void);

#endif
