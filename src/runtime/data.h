/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_RUNTIME_DATA_H
#define FSMOE_RUNTIME_DATA_H

#include "runtime/runtime_internal.h"

/* Buffers as StarPU data, for the submit walker: as struct fsmoe_executor says. */

int fsmoe_data_place(fsmoe_runtime_t runtime, struct fsmoe_handle *handle);
void fsmoe_data_remove(fsmoe_runtime_t runtime, struct fsmoe_handle *handle);
int fsmoe_data_write(struct fsmoe_program *program, fsmoe_tensor_t tensor, const void *from,
		     size_t bytes);
int fsmoe_data_read(struct fsmoe_program *program, fsmoe_tensor_t tensor, size_t first, size_t n,
		    void *to);
int fsmoe_data_pull(struct fsmoe_program *program, const fsmoe_tensor_t *tensors, int n);

#endif
