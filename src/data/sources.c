/* SPDX-License-Identifier: Apache-2.0 */
#include "data/sources.h"

#include "data/checksum.h"

#include <dirent.h>
#include <errno.h>
#include <fsmoe/error.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int add(struct fsmoe_sources *sources, char *path)
{
	/* Room grows by doubling: it is full whenever n is a power of two. */
	if (!(sources->n & (sources->n - 1)))
	{
		const size_t room = sources->n ? 2 * (size_t)sources->n : 1;
		char **more = realloc(sources->path, room * sizeof(*more));

		if (!more)
		{
			free(path);
			return -ENOMEM;
		}
		sources->path = more;
	}
	sources->path[sources->n] = path;
	sources->n += path != NULL;
	return path ? 0 : -ENOMEM;
}

static int from_directory(struct fsmoe_sources *sources, const char *source)
{
	DIR *directory = opendir(source);
	struct dirent *entry;
	int err = directory ? 0 : -errno;

	while (!err && (errno = 0, entry = readdir(directory)))
	{
		struct stat status;
		char *path;

		/* Texts have plain names where indices (.dat) and copies (.u8) lie beside them. */
		if (strchr(entry->d_name, '.'))
			continue;
		if (asprintf(&path, "%s/%s", source, entry->d_name) < 0)
			err = -ENOMEM;
		else if (!stat(path, &status) && !S_ISREG(status.st_mode))
			free(path);
		else
			err = add(sources, path);
	}
	if (!err && errno)
		err = -errno;
	if (directory)
		closedir(directory);
	return err;
}

static int from_pattern(struct fsmoe_sources *sources, const char *pattern)
{
	glob_t found;
	int err = 0;

	switch (glob(pattern, GLOB_NOSORT, NULL, &found))
	{
	case 0:
		break;
	case GLOB_NOMATCH:
		return 0;
	default:
		return -ENOMEM;
	}
	for (size_t i = 0; !err && i < found.gl_pathc; i++)
		if (!fsmoe_checksum_is(found.gl_pathv[i]))
			err = add(sources, strdup(found.gl_pathv[i]));
	globfree(&found);
	return err;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int fsmoe_sources_find(struct fsmoe_sources *sources, const char *source)
{
	const char *none = NULL;
	struct stat status;
	int err = 0;

	memset(sources, 0, sizeof(*sources));
	if (!stat(source, &status))
	{
		if (S_ISDIR(status.st_mode))
		{
			err = from_directory(sources, source);
			none = "of a directory files without a '.' in their names are taken, and "
			       "it has none; give a pattern such as 'DIR/*.txt'";
		}
		else
			err = add(sources, strdup(source));
	}
	else if (errno == ENOENT && strpbrk(source, "*?["))
	{
		err = from_pattern(sources, source);
		none = "no file matches the pattern";
	}
	else
		err = -errno;
	if (!err && !sources->n)
	{
		fsmoe_sources_free(sources);
		return fsmoe_fail(ENOENT, "cannot find the data %s: %s", source, none);
	}
	if (err)
	{
		fsmoe_sources_free(sources);
		return fsmoe_fail(-err, "cannot read the data %s: %s", source, strerror(-err));
	}
	qsort(sources->path, (size_t)sources->n, sizeof(*sources->path), by_name);
	return 0;
}

void fsmoe_sources_free(struct fsmoe_sources *sources)
{
	for (int i = 0; i < sources->n; i++)
		free(sources->path[i]);
	free(sources->path);
	memset(sources, 0, sizeof(*sources));
}
