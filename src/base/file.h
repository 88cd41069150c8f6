/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_BASE_FILE_H
#define FSMOE_BASE_FILE_H

#include <stddef.h>

/* Reads a whole file; the caller frees *text, which a NUL ends. size may be NULL. -errno with a
 * sentence that names the file. */
int fsmoe_file_read(const char *path, char **text, size_t *size);

/* That a file at this path could be written, whose folder must be there: better known before what
 * goes into it is measured. Makes nothing. */
int fsmoe_file_check_writable(const char *path);

/* Makes a directory and those above it that are missing. */
int fsmoe_file_mkdir(const char *path);

/* FOLDER/NAME; -ENAMETOOLONG. */
int fsmoe_path_join(char *path, size_t size, const char *folder, const char *name);

/* Returns when the bytes are on the disk. */
int fsmoe_file_write_synced(const char *path, const void *data, size_t bytes);

/* Replaces a file at once or not at all: written beside it, then renamed. */
int fsmoe_file_replace(const char *path, const void *data, size_t bytes);

#endif
