/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_DATA_SOURCES_H
#define FSMOE_DATA_SOURCES_H

/* The files that a --data argument means, in the order of their names (by byte value: the same
 * whatever the locale). */
struct fsmoe_sources
{
	char **path;
	int n; /* at least 1 */
};

/* A file; a directory: its regular files whose names have no '.'; a pattern of glob(7), when
 * no file has that very name, of which checksums (*.crc32c) are left out. -errno with a sentence.
 * Files need not be readable. */
int fsmoe_sources_find(struct fsmoe_sources *sources, const char *source);
void fsmoe_sources_free(struct fsmoe_sources *sources);

#endif
