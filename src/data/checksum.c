/* SPDX-License-Identifier: Apache-2.0 */
#include "data/checksum.h"

#include "base/crc32c.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <fsmoe/error.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum
{
	AT_ONCE = 1 << 20 /* bytes */
};

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int fsmoe_checksum_is(const char *path)
{
	const size_t n = strlen(path), m = strlen(FSMOE_CHECKSUM_SUFFIX);

	return n > m && !strcmp(path + n - m, FSMOE_CHECKSUM_SUFFIX);
}

static int beside(const char *path, char *out, size_t size)
{
	if ((size_t)snprintf(out, size, "%s%s", path, FSMOE_CHECKSUM_SUFFIX) >= size)
		return fsmoe_fail(ENAMETOOLONG, "the path %s is too long", path);
	return 0;
}

/* The only way to write it: what reads it compares the whole text with that of what it read. */
static char *line(uint32_t crc, uint64_t bytes, const char *path)
{
	char *text;

	return asprintf(&text, "%08" PRIx32 " %" PRIu64 " %s\n", crc, bytes, name_of(path)) < 0
		       ? NULL
		       : text;
}

static int parse(const char *path, const char *text, size_t size, struct fsmoe_checksum *sum)
{
	char *same;
	int err = 0;

	if (sscanf(text, "%8" SCNx32 " %" SCNu64, &sum->crc, &sum->bytes) != 2)
		memset(sum, 0, sizeof(*sum));
	same = line(sum->crc, sum->bytes, path);
	if (!same)
		return fsmoe_fail(ENOMEM, "no memory for the checksum of %s", path);
	if (strlen(same) != size || memcmp(same, text, size))
		err = fsmoe_fail(EPROTO,
				 "%s%s is damaged, or of another file: it is not 'CHECKSUM BYTES "
				 "%s'; if %s is as it should be, 'fsmoe checksum %s' writes it "
				 "anew",
				 path, FSMOE_CHECKSUM_SUFFIX, name_of(path), name_of(path), path);
	free(same);
	sum->present = !err;
	return err;
}

int fsmoe_checksum_read(const char *path, struct fsmoe_checksum *sum)
{
	char file[PATH_MAX], *text;
	size_t size;
	int err = beside(path, file, sizeof(file));

	memset(sum, 0, sizeof(*sum));
	if (err || (access(file, F_OK) && errno == ENOENT))
		return err;
	err = fsmoe_file_read(file, &text, &size);
	if (err)
		return err;
	err = parse(path, text, size, sum);
	free(text);
	return err;
}

int fsmoe_checksum_compare(const char *path, const struct fsmoe_checksum *sum, uint32_t crc,
			   uint64_t bytes)
{
	static const char what_to_do[] = "copy it again or make it anew, or write another checksum "
					 "if it was changed on purpose: fsmoe checksum";

	if (bytes != sum->bytes)
		return fsmoe_fail(EPROTO,
				  "the data %s has %" PRIu64 " bytes, its checksum is of %" PRIu64
				  ": %s %s",
				  path, bytes, sum->bytes, what_to_do, path);
	if (crc != sum->crc)
		return fsmoe_fail(EPROTO,
				  "the data %s is damaged, its CRC32C is %08" PRIx32
				  " and not %08" PRIx32 ": %s %s",
				  path, crc, sum->crc, what_to_do, path);
	return 0;
}

int fsmoe_checksum_make(const char *path, struct fsmoe_checksum *sum)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *buffer = malloc(AT_ONCE);
	struct stat status;
	uint32_t raw = 0;
	ssize_t n = 0;
	int err = fd < 0 ? errno : buffer ? 0 : ENOMEM;

	memset(sum, 0, sizeof(*sum));
	if (!err && (fstat(fd, &status) || !S_ISREG(status.st_mode)))
		err = EINVAL;
	while (!err && (n = read(fd, buffer, AT_ONCE)) > 0)
	{
		raw = fsmoe_crc32c_raw(raw, buffer, (size_t)n);
		sum->bytes += (uint64_t)n;
	}
	err = n < 0 ? errno : err;
	if (fd >= 0)
		close(fd);
	free(buffer);
	sum->crc = fsmoe_crc32c_final(raw, sum->bytes);
	sum->present = !err;
	if (err == EINVAL)
		return fsmoe_fail(err, "the data %s is not a regular file", path);
	return err ? fsmoe_fail(err, "cannot read the data %s: %s", path, strerror(err)) : 0;
}

int fsmoe_checksum_write(const char *path, const struct fsmoe_checksum *sum)
{
	char file[PATH_MAX], *text;
	int err = beside(path, file, sizeof(file));

	if (err)
		return err;
	text = line(sum->crc, sum->bytes, path);
	err = text ? fsmoe_file_replace(file, text, strlen(text))
		   : fsmoe_fail(ENOMEM, "no memory to write %s", file);
	free(text);
	return err;
}
