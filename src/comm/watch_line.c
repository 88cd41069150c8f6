/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/watch_state.h"

#include <string.h>
#include <unistd.h>

/* Sentences, put together without stdio because a signal handler needs one too. */

struct text
{
	char *start;
	size_t n;
};

static void put(struct text *text, const char *string)
{
	/* One line holds one line feed, at its end. */
	for (; *string && text->n < WATCH_LINE - 1; string++)
		text->start[text->n++] = *string;
	text->start[text->n] = '\0';
}

static void put_number(struct text *text, uint64_t number)
{
	char digits[24], *at = digits + sizeof(digits) - 1;

	*at = '\0';
	do
		*--at = (char)('0' + number % 10);
	while (number /= 10);
	put(text, at);
}

static void put_seconds(struct text *text, int64_t ns)
{
	uint64_t tenths = ns > 0 ? (uint64_t)ns / 100000000 : 0;

	put_number(text, tenths / 10);
	put(text, ".");
	put_number(text, tenths % 10);
	put(text, " s");
}

static void put_label(struct text *text, const struct watch_label *label)
{
	uint64_t word[WATCH_WORDS];
	char string[sizeof(word) + 1];

	for (int i = 0; i < WATCH_WORDS; i++)
		word[i] = atomic_load_explicit(&label->word[i], memory_order_relaxed);
	memcpy(string, word, sizeof(word));
	string[sizeof(word)] = '\0';
	put(text, string);
}

/* "alltoall (group ep), seq 12 of lane inter, for 10.0 s" */
static void put_collective(struct text *text, const struct watch_group *group, int kind,
			   int64_t now)
{
	int lane = atomic_load(&group->lane);

	put_label(text, &group->collective);
	put(text, " (group ");
	put(text, fsmoe_group_name((enum fsmoe_group)kind));
	if (lane >= 0)
	{
		put(text, "), seq ");
		put_number(text, (uint64_t)atomic_load(&group->seq));
		put(text, " of lane ");
		put(text, fsmoe_lane_name((enum fsmoe_lane)lane));
	}
	else
	{
		put(text, "), call ");
		put_number(text, atomic_load(&group->calls));
	}
	put(text, ", for ");
	put_seconds(text, now - atomic_load(&group->entered));
}

/* All collectives entered and not left, with `before` in front of the first. How many. */
static int put_collectives(struct text *text, struct fsmoe_watch *watch, const char *before)
{
	int64_t now = fsmoe_watch_now();
	int n = 0;

	for (int kind = 0; kind < FSMOE_NGROUPS; kind++)
		if (atomic_load(&watch->group[kind].entered))
		{
			put(text, n++ ? " and in " : before);
			put_collective(text, &watch->group[kind], kind, now);
		}
	return n;
}

static void put_last_task(struct text *text, struct fsmoe_watch *watch)
{
	int last = -1;
	int64_t latest = 0;

	for (int lane = 0; lane < FSMOE_NLANES; lane++)
		if (atomic_load(&watch->lane[lane].ended) > latest)
		{
			latest = atomic_load(&watch->lane[lane].ended);
			last = lane;
		}
	if (last < 0)
	{
		put(text, "no task done yet");
		return;
	}
	put(text, "last task done \"");
	put_label(text, &watch->lane[last].done);
	put(text, "\"");
}

/* Tasks begun and not done, when no collective explains the waiting. */
static void put_running(struct text *text, struct fsmoe_watch *watch)
{
	int64_t now = fsmoe_watch_now();
	int n = 0;

	for (int lane = 0; lane < FSMOE_NLANES; lane++)
	{
		int64_t begun = atomic_load(&watch->lane[lane].begun);
		if (!begun)
			continue;
		put(text, n++ ? ", \"" : "; runs \"");
		put_label(text, &watch->lane[lane].running);
		put(text, "\" on lane ");
		put(text, fsmoe_lane_name((enum fsmoe_lane)lane));
		put(text, " for ");
		put_seconds(text, now - begun);
	}
	if (!n)
		put(text, "; waits in no collective");
}

static void put_rank(struct text *text, int rank)
{
	put(text, "fsmoe: rank ");
	put_number(text, (uint64_t)rank);
}

static int end_line(struct text *text)
{
	if (text->n > WATCH_LINE - 2)
		text->n = WATCH_LINE - 2;
	put(text, "\n");
	return (int)text->n;
}

int fsmoe_watch_line(struct fsmoe_watch *watch, char *line)
{
	struct text text = {line, 0};
	char fault[WATCH_LINE / 2];

	put_rank(&text, watch->rank);
	put(&text, ": in ");
	put_label(&text, &watch->phase);
	put(&text, "; ");
	put_last_task(&text, watch);
	if (!put_collectives(&text, watch, "; waits in "))
		put_running(&text, watch);
	if (fsmoe_watch_find_fault(watch, fault, sizeof(fault)))
	{
		put(&text, "; ");
		put(&text, fault);
	}
	return end_line(&text);
}

int fsmoe_watch_term_line(struct fsmoe_watch *watch, char *line)
{
	struct text text = {line, 0};

	put_rank(&text, watch->rank);
	put(&text, watch->alone ? ": told to end at once, in "
				: ": another rank ended the job while this rank was in ");
	if (put_collectives(&text, watch, ""))
		put(&text, "; in ");
	put_label(&text, &watch->phase);
	put(&text, "; ");
	put_last_task(&text, watch);
	return end_line(&text);
}

int fsmoe_watch_verdict(struct fsmoe_watch *watch, char *line)
{
	struct text text = {line, 0};

	put(&text, "fsmoe: ");
	if (atomic_load(&watch->failed))
		put(&text, "collectives have failed");
	else
	{
		put(&text, "no progress for ");
		put_seconds(&text, (int64_t)(watch->timeout * 1e9));
	}
	put(&text, ": ending the job");
	return end_line(&text);
}

int fsmoe_watch_silent_line(int rank, char *line)
{
	struct text text = {line, 0};

	put_rank(&text, rank);
	put(&text, " does not answer (stopped, dead or cut off)");
	return end_line(&text);
}

void fsmoe_watch_write(const char *text, size_t n)
{
	while (n)
	{
		ssize_t done = write(STDERR_FILENO, text, n);
		if (done <= 0)
			return;
		text += done;
		n -= (size_t)done;
	}
}
