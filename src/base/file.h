/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_BASE_FILE_H
#define FSMOE_BASE_FILE_H

#include <stddef.h>

/* Reads a whole file; the caller frees *text, which a NUL ends. size may be NULL. -errno with a
 * sentence that names the file. */
int fsmoe_file_read(const char *path, char **text, size_t *size);

/* Makes a directory and those above it that are missing. */
int fsmoe_file_mkdir(const char *path);

#endif
