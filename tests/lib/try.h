/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TESTS_TRY_H
#define FSMOE_TESTS_TRY_H

#include <fsmoe/error.h>
#include <stdio.h>
#include <stdlib.h>

/* For test and bench programs: a call of fsmoe must succeed, or the program says where it did not
 * and ends. The watchdog or the launcher ends the other ranks. */
#define TRY(call)                                                                                  \
	do                                                                                         \
	{                                                                                          \
		if ((call) < 0)                                                                    \
		{                                                                                  \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, fsmoe_last_error());    \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

#endif
