/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BASE_UNIT_H
#define TESTS_BASE_UNIT_H

/* cmocka with the headers that it needs, and helpers for unit tests. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fsmoe/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The call fails with -err, and its sentence holds `part`. */
#define assert_fails(call, err, part)                                                              \
	do                                                                                         \
	{                                                                                          \
		assert_int_equal((call), -(err));                                                  \
		if (!strstr(fsmoe_last_error(), (part)))                                           \
			fail_msg("'%s' does not say '%s'", fsmoe_last_error(), (part));            \
	} while (0)

/* A path in the test's own folder; static, overwritten after 32 calls. */
static inline const char *test_path(const char *name)
{
	static char path[32][512];
	static int turn;
	const char *folder = getenv("TMPDIR");
	char *here = path[turn++ % 32];

	snprintf(here, sizeof(path[0]), "%s/fsmoe-%d-%s", folder ? folder : "/tmp", (int)getpid(),
		 name);
	return here;
}

static inline void test_write(const char *path, const void *bytes, size_t size)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

/* Becomes another user than root, who may read everything. Returns 0 if that fails. */
static inline int test_drop_root(void)
{
	return geteuid() != 0 || !seteuid(65534);
}

static inline void test_restore_root(void)
{
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
}

#endif
