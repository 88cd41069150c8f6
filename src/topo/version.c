/* SPDX-License-Identifier: Apache-2.0 */
#include "topo/version.h"

#include <mpi.h>
#include <string.h>

const char *fsmoe_mpi_version(void)
{
	static char text[MPI_MAX_LIBRARY_VERSION_STRING];
	int n;

	if (MPI_Get_library_version(text, &n) != MPI_SUCCESS)
		return "unknown";
	/* Name and number: what follows, after a comma or on further lines, is how it was built. */
	text[strcspn(text, ",\n")] = '\0';
	return text;
}
