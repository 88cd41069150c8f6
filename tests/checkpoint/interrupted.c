/* SPDX-License-Identifier: Apache-2.0 */
/* A full disk and kill -9 at any moment of saving leave an older checkpoint whole. */
#include "model.h"

#include "base/clock.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* In a child: saves until nothing can be written any more, and says what came of it. */
static int saved_in_child(const char *dir, int (*limit)(const char *dir))
{
	const pid_t pid = fork();
	int status;

	if (pid == 0)
	{
		struct fsmoe_checkpoint_info info;
		struct model m;
		int err = 0;

		make(&m, "tiny", "adamw");
		if (save(&m, dir, 1, 0) || limit(dir))
			_exit(77);
		for (uint64_t step = 2; step < 40 && !err; step++)
			err = save(&m, dir, step, 0);
		fprintf(stderr, "# %s\n", fsmoe_last_error());
		if (err != -ENOSPC && err != -EFBIG)
			_exit(1);
		/* The one before is the last, whole, and nothing else is left. */
		fill(&m, 99);
		if (load(&m, dir, &info) || info.step + 1 != m.info.step ||
		    entries(dir) != (int)info.step + 1)
			_exit(2);
		assert_holds(&m, info.step);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int limit_size(const char *dir)
{
	(void)dir;
	signal(SIGXFSZ, SIG_IGN);
	return setrlimit(RLIMIT_FSIZE, &(struct rlimit){65536, 65536});
}

static int no_limit(const char *dir)
{
	(void)dir;
	return 0;
}

static void files_too_large(void **state)
{
	const char *dir = test_path("large");

	(void)state;
	assert_int_equal(saved_in_child(dir, limit_size), 0);
	remove_tree(dir);
}

/* A file system of one megabyte, in a mount namespace of a child's own. */
static void full_disk(void **state)
{
	const char *disk = test_path("disk");
	const pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0)
	{
		if (mkdir(disk, 0777) || unshare(CLONE_NEWNS) ||
		    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		    mount("none", disk, "tmpfs", 0, "size=1m"))
			_exit(77);
		_exit(saved_in_child(in(disk, "run"), no_limit));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	rmdir(disk);
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Whether a save was begun and not ended there. */
static int unfinished(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	int n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		n += strlen(entry->d_name) > 5 &&
		     !strcmp(entry->d_name + strlen(entry->d_name) - 5, ".part");
	closedir(dir);
	return n > 0;
}

static void remove_unfinished(const char *path)
{
	char command[600];

	snprintf(command, sizeof(command), "rm -rf '%s'/.*.part", path);
	assert_int_equal(system(command), 0);
}

enum
{
	KILLS = 50,       /* while a save was under way */
	MOST_TRIALS = 400 /* some hit between two */
};

/* Killed at 50 random moments of saving: what `latest` names is whole, and never older than what
 * it named before. */
static void kill_9(void **state)
{
	const char *dir = test_path("kill");
	struct fsmoe_checkpoint_info info = {.step = 1};
	struct model m;
	uint64_t before = 1;
	double seconds;
	int cut = 0, trials = 0;

	(void)state;
	make(&m, "tiny", "adamw");
	seconds = fsmoe_clock();
	assert_int_equal(save(&m, dir, 1, 2), 0);
	seconds = fsmoe_clock() - seconds;
	for (uint64_t trial = 0; cut < KILLS; trial++)
	{
		const int clean = !unfinished(dir);
		const pid_t pid = fork();

		if (pid == 0)
			for (uint64_t step = before + 1;; step++)
				/* Sometimes the same step, which takes another one's place. */
				if (save(&m, dir, trial % 5 ? step : before, 2))
					_exit(1);
		assert_true(trial < MOST_TRIALS);
		/* Up to two and a half saves: every stage of one is hit. */
		usleep((useconds_t)(2.5e6 * seconds * fsmoe_rng_uniform(12, trial)));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		trials++;
		/* Remains of the last trial do not count if this one came to nothing. */
		cut += clean && unfinished(dir);
		if (trial % 2)
			remove_unfinished(dir);
		if (load(&m, dir, &info))
			fail_msg("trial %d: %s", (int)trial, fsmoe_last_error());
		assert_holds(&m, info.step);
		assert_true(info.step >= before);
		before = info.step;
	}
	print_message("# killed %d times, %d times with a save under way; last step %d\n", trials,
		      cut, (int)before);
	assert_int_equal(save(&m, dir, before + 1, 2), 0);
	assert_int_equal(entries(dir), 3);
	drop(&m);
	remove_tree(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_too_large),
		cmocka_unit_test(full_disk),
		cmocka_unit_test(kill_9),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
