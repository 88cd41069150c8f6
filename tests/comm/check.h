/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TESTS_COMM_CHECK_H
#define FSMOE_TESTS_COMM_CHECK_H

#include <fsmoe/error.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A rank that finds something wrong says so and ends; mpirun ends the others. */
#define CHECK(what)                                                                                \
	do                                                                                         \
	{                                                                                          \
		if (!(what))                                                                       \
		{                                                                                  \
			fprintf(stderr, "%s:%d: pid %d: not true: %s (last error: %s)\n",          \
				__FILE__, __LINE__, (int)getpid(), #what, fsmoe_last_error());     \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

#endif
