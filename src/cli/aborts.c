/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/aborts.h"

#include "cli/cli.h"

#include <execinfo.h>
#include <fsmoe/error.h>
#include <link.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * Whoever calls abort() sends this process SIGABRT, and so may anybody else. Who it was is seen on
 * the stack: the first caller outside the C library. All that the handler needs is made before.
 */
struct text
{
	char line[320];
	size_t size;
};

struct range
{
	uintptr_t low, high;
};

/* One of a process: signals have no argument. */
static struct
{
	struct range libc, starpu; /* where they lie; 0: not loaded */
	struct text gave_up, from_outside;
	struct sigaction before;
	int caught;
} the;

enum
{
	FRAMES = 48
};

static int is_in(const struct range *range, const void *address)
{
	/* An address of return: the call that does not return may be the last of the range. */
	const uintptr_t at = (uintptr_t)address - 1;

	return at >= range->low && at < range->high;
}

static int called_by_starpu(void)
{
	void *frame[FRAMES];
	const int n = backtrace(frame, FRAMES);
	int i = 0;

	while (i < n && !is_in(&the.libc, frame[i])) /* this handler */
		i++;
	while (i < n &&
	       is_in(&the.libc, frame[i])) /* the signal, raise, abort, a failed assertion */
		i++;
	return i < n && is_in(&the.starpu, frame[i]);
}

static void say(const struct text *text)
{
	ssize_t written = write(STDERR_FILENO, text->line, text->size);

	(void)written;
}

static void on_abort(int signal, siginfo_t *info, void *context)
{
	(void)context;
	if (info->si_pid != getpid())
		say(&the.from_outside);
	else if (called_by_starpu())
	{
		say(&the.gave_up);
		_exit(FSMOE_EXIT_RUN);
	}
	/* It is delivered when this returns, to whom it went before. */
	sigaction(signal, &the.before, NULL);
	raise(signal);
}

/* --- before ----------------------------------------------------------------------------------- */

static void widen(struct range *range, const struct dl_phdr_info *info)
{
	for (int i = 0; i < info->dlpi_phnum; i++)
	{
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		const uintptr_t low = info->dlpi_addr + p->p_vaddr;

		if (p->p_type != PT_LOAD)
			continue;
		range->low = range->low && range->low < low ? range->low : low;
		range->high = range->high > low + p->p_memsz ? range->high : low + p->p_memsz;
	}
}

static int look(struct dl_phdr_info *info, size_t size, void *arg)
{
	const char *slash = strrchr(info->dlpi_name, '/'),
		   *name = slash ? slash + 1 : info->dlpi_name;

	(void)size, (void)arg;
	if (!strncmp(name, "libc.so", 7))
		widen(&the.libc, info);
	else if (!strncmp(name, "libstarpu-", 10))
		widen(&the.starpu, info);
	return 0;
}

static void prepare(struct text *text, const char *sentence)
{
	int n = 0;

	if (cli_launch_ranks() > 1)
		n = snprintf(text->line, sizeof(text->line), "fsmoe[%d]: error: %s\n",
			     cli_launch_rank(), sentence);
	else
		n = snprintf(text->line, sizeof(text->line), "fsmoe: error: %s\n", sentence);
	text->size = (size_t)n < sizeof(text->line) ? (size_t)n : sizeof(text->line) - 1;
}

static void catch (const struct fsmoe_runtime_opts *opts)
{
	struct sigaction action = {.sa_sigaction = on_abort, .sa_flags = SA_SIGINFO};
	void *frame[FRAMES];

	prepare(&the.gave_up,
		strcmp(opts->device, "cuda")
			? "StarPU gave up: its message is above"
			: "StarPU gave up, most likely because a GPU failed or was lost (its "
			  "message is above); start again from the last checkpoint with --resume");
	prepare(&the.from_outside, "SIGABRT came from another process");
	if (the.caught)
		return;
	dl_iterate_phdr(look, NULL);
	backtrace(frame, FRAMES); /* the first call loads a library */
	sigemptyset(&action.sa_mask);
	the.caught = !sigaction(SIGABRT, &action, &the.before);
}

int cli_runtime_start(fsmoe_runtime_t *runtime, fsmoe_groups_t groups,
		      const struct fsmoe_runtime_opts *opts)
{
	catch (opts);
	return fsmoe_runtime_start(runtime, groups, opts);
}
