/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_COST_SAVE_H
#define FSMOE_COST_SAVE_H

#include <stddef.h>

/* Replaces a file by this text at once or not at all: written beside it, then renamed. */
int fsmoe_save_text(const char *path, const char *text, size_t size);

/* A string as JSON writes it, in quotes; the caller frees it. NULL: no memory. */
char *fsmoe_quoted(const char *text);

#endif
