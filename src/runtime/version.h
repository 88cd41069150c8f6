/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_RUNTIME_VERSION_H
#define FSMOE_RUNTIME_VERSION_H

/* The version of the StarPU library that is loaded, "1.3.10". */
const char *fsmoe_starpu_version(void);

#endif
