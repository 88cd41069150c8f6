/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "base/log.h"
#include "checkpoint/checkpoint.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fsmoe/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A save is all or nothing: files are written under a name that no reader looks for, they are on
 * the disk before the folder is renamed, and the folder is on the disk before `latest` names it. */

#define LATEST_PART ".latest.part"

int fsmoe_checkpoint_folder_name(struct fsmoe_checkpoint_folder *f, const char *dir, uint64_t step)
{
	char part[48];
	int err;

	snprintf(f->name, sizeof(f->name), "step-%06llu", (unsigned long long)step);
	snprintf(part, sizeof(part), ".%s.part", f->name);
	snprintf(f->dir, sizeof(f->dir), "%s", dir); /* if cut, the longer paths below fail */
	err = fsmoe_path_join(f->final, sizeof(f->final), dir, f->name);
	if (!err)
		err = fsmoe_path_join(f->part, sizeof(f->part), dir, part);
	return err;
}

static int sync_folder(const char *path)
{
	const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Some file systems cannot sync a folder, and need no sync. */
	const int err = fd < 0 || (fsync(fd) && errno != EINVAL && errno != ENOTSUP) ? errno : 0;

	if (fd >= 0)
		close(fd);
	return err ? fsmoe_fail(err, "cannot write %s: %s", path, strerror(err)) : 0;
}

/* Removes a folder of files. If it holds a folder, both stay. */
static int remove_folder(const char *path)
{
	char file[PATH_MAX];
	DIR *dir = opendir(path);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") &&
		    !fsmoe_path_join(file, sizeof(file), path, entry->d_name))
			unlink(file);
	if (dir)
		closedir(dir);
	return rmdir(path) ? -errno : 0;
}

/* Matches "step-" and digits, or with `part` ".step-000123.part". */
static int is_step(const char *name, int part)
{
	if (part && *name++ != '.')
		return 0;
	if (strncmp(name, "step-", 5) || !isdigit((unsigned char)name[5]))
		return 0;
	for (name += 5; isdigit((unsigned char)*name); name++)
		;
	return !strcmp(name, part ? ".part" : "");
}

static void sweep(const char *dir)
{
	char path[PATH_MAX];
	DIR *stream = opendir(dir);
	const struct dirent *entry;

	while (stream && (entry = readdir(stream)))
		if (is_step(entry->d_name, 1) &&
		    !fsmoe_path_join(path, sizeof(path), dir, entry->d_name))
			remove_folder(path);
	if (stream)
		closedir(stream);
}

int fsmoe_checkpoint_folder_begin(const struct fsmoe_checkpoint_folder *f)
{
	int err = fsmoe_file_mkdir(f->dir);

	if (err)
		return err;
	sweep(f->dir);
	if (mkdir(f->part, 0777))
		return fsmoe_fail(errno, "cannot make the folder %s: %s", f->part, strerror(errno));
	return 0;
}

void fsmoe_checkpoint_folder_discard(const struct fsmoe_checkpoint_folder *f)
{
	char part[PATH_MAX];

	remove_folder(f->part);
	if (!fsmoe_path_join(part, sizeof(part), f->dir, LATEST_PART))
		unlink(part);
}

/* Renames the folder. If the name is taken (a run that went back to an older step), both are
 * exchanged, so that the step is never absent; file systems without exchange have such a moment. */
static int rename_part(const struct fsmoe_checkpoint_folder *f)
{
	char old[PATH_MAX];
	int err;

	if (!rename(f->part, f->final))
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return fsmoe_fail(errno, "cannot rename %s to %s: %s", f->part, f->final,
				  strerror(errno));
	if (!renameat2(AT_FDCWD, f->part, AT_FDCWD, f->final, RENAME_EXCHANGE))
	{
		remove_folder(f->part);
		return 0;
	}
	err = fsmoe_path_join(old, sizeof(old), f->dir, ".step-0.part");
	if (!err && (rename(f->final, old) || rename(f->part, f->final)))
		err = fsmoe_fail(errno, "cannot replace %s: %s", f->final, strerror(errno));
	if (!err)
		remove_folder(old);
	return err;
}

int fsmoe_checkpoint_folder_end(const struct fsmoe_checkpoint_folder *f)
{
	char latest[PATH_MAX], part[PATH_MAX], line[40];
	int err = fsmoe_path_join(latest, sizeof(latest), f->dir, "latest");

	snprintf(line, sizeof(line), "%s\n", f->name);
	if (!err)
		err = fsmoe_path_join(part, sizeof(part), f->dir, LATEST_PART);
	if (!err)
		err = sync_folder(f->part);
	/* Before the folder is renamed: nothing after this needs room on the disk. */
	if (!err)
		err = fsmoe_file_write_synced(part, line, strlen(line));
	if (!err)
		err = rename_part(f);
	if (!err)
		err = sync_folder(f->dir);
	if (!err && rename(part, latest))
		err = fsmoe_fail(errno, "cannot write %s: %s", latest, strerror(errno));
	return err ? err : sync_folder(f->dir);
}

/* --- keeping the newest ------------------------------------------------------------------- */

struct step
{
	char name[64];
	struct timespec when;
};

/* The newest first, by time and not by number: a run may have gone back. */
static int by_age(const void *a, const void *b)
{
	const struct step *x = a, *y = b;

	if (x->when.tv_sec != y->when.tv_sec)
		return x->when.tv_sec < y->when.tv_sec ? 1 : -1;
	if (x->when.tv_nsec != y->when.tv_nsec)
		return x->when.tv_nsec < y->when.tv_nsec ? 1 : -1;
	return strcmp(y->name, x->name);
}

/* Lists the steps' folders except the one just written. */
static int list_others(const struct fsmoe_checkpoint_folder *f, struct step **list)
{
	char path[PATH_MAX];
	struct stat status;
	DIR *stream = opendir(f->dir);
	const struct dirent *entry;
	int n = 0;

	*list = NULL;
	while (stream && (entry = readdir(stream)))
	{
		struct step *more;

		if (!is_step(entry->d_name, 0) || !strcmp(entry->d_name, f->name) ||
		    strlen(entry->d_name) >= sizeof(more->name) ||
		    snprintf(path, sizeof(path), "%s/%s/manifest.json", f->dir, entry->d_name) >=
			    PATH_MAX ||
		    stat(path, &status))
			continue;
		more = realloc(*list, ((size_t)n + 1) * sizeof(*more));
		if (!more)
			break;
		*list = more;
		memcpy(more[n].name, entry->d_name, strlen(entry->d_name) + 1);
		more[n++].when = status.st_mtim;
	}
	if (stream)
		closedir(stream);
	if (n)
		qsort(*list, (size_t)n, sizeof(**list), by_age);
	return n;
}

void fsmoe_checkpoint_folder_prune(const struct fsmoe_checkpoint_folder *f, int keep)
{
	char path[PATH_MAX], gone[PATH_MAX];
	struct step *list = NULL;
	int n, err = 0;

	if (keep <= 0)
		return;
	n = list_others(f, &list);
	for (int i = keep - 1; i < n; i++)
	{
		if (snprintf(path, sizeof(path), "%s/%s", f->dir, list[i].name) >= PATH_MAX ||
		    snprintf(gone, sizeof(gone), "%s/.%s.part", f->dir, list[i].name) >= PATH_MAX)
			continue;
		/* Rename it before: a folder with a step's name is always complete. */
		err = rename(path, gone) ? -errno : remove_folder(gone);
		if (err)
			fsmoe_log(FSMOE_LOG_WARNING, "cannot remove the older checkpoint %s: %s",
				  path, strerror(-err));
	}
	free(list);
}

/* --- finding ------------------------------------------------------------------------------ */

static int exists(const char *folder, const char *name, char *path, size_t size)
{
	return !fsmoe_path_join(path, size, folder, name) && !access(path, F_OK);
}

/* Reads the name in `latest`. Without that file (the run was killed in its first save, or somebody
 * removed it) takes the newest folder, which is complete, since it has its name. */
static int read_latest(const char *path, char *name, size_t size)
{
	struct fsmoe_checkpoint_folder f = {.name = ""};
	char file[PATH_MAX], *line;
	struct step *list;
	size_t length;
	int err, n;

	if (exists(path, "latest", file, sizeof(file)))
	{
		err = fsmoe_file_read(file, &line, &length);
		if (err)
			return err;
		if (length < 2 || length > size || line[length - 1] != '\n')
			length = 1;
		line[length - 1] = '\0';
		if (strlen(line) != length - 1 || !is_step(line, 0))
			err = fsmoe_fail(EPROTO,
					 "%s is damaged: it should be one line such as "
					 "step-000123; name the folder of a step instead",
					 file);
		else
			memcpy(name, line, length);
		free(line);
		return err;
	}
	snprintf(f.dir, sizeof(f.dir), "%s", path);
	n = list_others(&f, &list);
	if (n)
		snprintf(name, size, "%s", list[0].name);
	free(list);
	return n ? 0
		 : fsmoe_fail(ENOENT,
			      "there is no checkpoint in %s: it has neither manifest.json nor "
			      "latest",
			      path);
}

int fsmoe_checkpoint_folder_find(const char *path, char *found, size_t size)
{
	char file[PATH_MAX], name[64];
	int err;

	if (exists(path, "manifest.json", file, sizeof(file)))
		return snprintf(found, size, "%s", path) < (int)size
			       ? 0
			       : fsmoe_fail(ENAMETOOLONG, "the path %.100s... is too long", path);
	err = read_latest(path, name, sizeof(name));
	if (!err)
		err = fsmoe_path_join(found, size, path, name);
	if (!err && !exists(found, "manifest.json", file, sizeof(file)))
		err = fsmoe_fail(EPROTO,
				 "%s/latest names %s, which is not there: name the folder of "
				 "another step instead",
				 path, name);
	return err;
}
