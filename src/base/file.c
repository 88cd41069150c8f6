/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reads until the end, whatever stat would say: pipes and /proc have no size. */
static int read_all(FILE *file, char **text, size_t *size)
{
	size_t used = 0, room = 0;
	char *data = NULL;

	do
	{
		/* One byte more than is read, for the NUL. */
		if (used + 1 >= room)
		{
			char *more;

			room = room ? 2 * room : 4096;
			more = realloc(data, room);
			if (!more)
			{
				free(data);
				return -ENOMEM;
			}
			data = more;
		}
		used += fread(data + used, 1, room - 1 - used, file);
	} while (!feof(file) && !ferror(file));
	if (ferror(file))
	{
		const int err = errno ? errno : EIO;

		free(data);
		return -err;
	}
	data[used] = '\0';
	*text = data;
	*size = used;
	return 0;
}

int fsmoe_file_read(const char *path, char **text, size_t *size)
{
	size_t n;
	FILE *file = fopen(path, "re");
	int err = file ? 0 : -errno;

	if (!err)
		err = read_all(file, text, &n);
	if (file)
		fclose(file);
	if (err)
		return fsmoe_fail(-err, "cannot read %s: %s", path, strerror(-err));
	if (size)
		*size = n;
	return 0;
}

int fsmoe_file_mkdir(const char *path)
{
	char *part = strdup(path);
	int err = part ? 0 : -ENOMEM;

	for (char *at = part; !err && *at; at++)
	{
		/* Every '/' but a leading one ends the name of a directory above. */
		if (*at != '/' || at == part)
			continue;
		*at = '\0';
		if (mkdir(part, 0777) && errno != EEXIST)
			err = -errno;
		*at = '/';
	}
	if (!err && mkdir(path, 0777))
	{
		struct stat status;

		err = -errno;
		if (err == -EEXIST && !stat(path, &status))
			err = S_ISDIR(status.st_mode) ? 0 : -ENOTDIR;
	}
	free(part);
	if (err)
		return fsmoe_fail(-err, "cannot make the directory %s: %s", path, strerror(-err));
	return 0;
}

int fsmoe_file_check_writable(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	struct stat status;
	int err = 0;

	if (!folder)
		return fsmoe_fail(ENOMEM, "no memory for the path %s", path);
	if (!stat(path, &status))
		err = S_ISDIR(status.st_mode) ? EISDIR : access(path, W_OK) ? errno : 0;
	else if (stat(folder, &status) || access(folder, W_OK | X_OK))
		err = errno;
	free(folder);
	return err ? fsmoe_fail(err, "cannot write %s: %s", path, strerror(err)) : 0;
}

int fsmoe_path_join(char *path, size_t size, const char *folder, const char *name)
{
	const int n = snprintf(path, size, "%s/%s", folder, name);

	if (n < 0 || (size_t)n >= size)
		return fsmoe_fail(ENAMETOOLONG, "the path %.100s.../%s is too long", folder, name);
	return 0;
}

/* Returns what errno said; no sentence, since only the caller knows what file it is about. */
static int write_all(const char *path, const void *data, size_t bytes)
{
	FILE *file = fopen(path, "we");
	int err = file ? 0 : errno;

	if (!err && (fwrite(data, 1, bytes, file) != bytes || fflush(file) || fsync(fileno(file))))
		err = errno ? errno : EIO;
	if (file && fclose(file) && !err)
		err = errno ? errno : EIO;
	return err;
}

int fsmoe_file_write_synced(const char *path, const void *data, size_t bytes)
{
	const int err = write_all(path, data, bytes);

	return err ? fsmoe_fail(err, "cannot write %s: %s", path, strerror(err)) : 0;
}

int fsmoe_file_replace(const char *path, const void *data, size_t bytes)
{
	const size_t room = strlen(path) + 32;
	char *part = malloc(room);
	int err;

	if (!part)
		return fsmoe_fail(ENOMEM, "no memory to write %s", path);
	snprintf(part, room, "%s.%d.part", path, (int)getpid());
	err = write_all(part, data, bytes);
	if (!err && rename(part, path))
		err = errno;
	if (err)
		unlink(part);
	free(part);
	return err ? fsmoe_fail(err, "cannot write %s: %s", path, strerror(err)) : 0;
}
