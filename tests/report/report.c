/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A report's numbers: of a run folder written by hand, against what can be worked out by hand; of
 * broken folders, the sentence; and of a folder given as argument, against its own files.
 */
#include "report/report.h"
#include "tests/lib/try.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

static int failures;

static void equal(const char *what, double have, double wanted)
{
	if (fabs(have - wanted) <= 1e-6 * fmax(1, fabs(wanted)))
		return;
	printf("%s is %.9g, not %.9g\n", what, have, wanted);
	failures++;
}

static double at(const json_t *value, const char *path)
{
	char copy[256], *rest = copy, *part;

	snprintf(copy, sizeof(copy), "%s", path);
	while (value && (part = strsep(&rest, "/")))
		value = json_is_array(value) ? json_array_get(value, (size_t)atoi(part))
					     : json_object_get(value, part);
	return json_is_number(value) ? json_number_value(value) : NAN;
}

static void write_file(const char *dir, const char *name, const char *text)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	if (!file || fputs(text, file) < 0 || fclose(file))
	{
		printf("cannot write %s\n", path);
		exit(1);
	}
}

static const char metrics[] =
	"{\"step\": 1, \"loss\": 4.0, \"lr\": 0.1, \"ms\": 10.0, \"tokens\": 100, "
	"\"routed\": 200, \"dropped\": 50, \"rank_load\": [60, 40]}\n"
	"{\"step\": 2, \"loss\": null, \"lr\": 0.2, \"ms\": 30.0, \"tokens\": 100, "
	"\"routed\": 200, \"dropped\": 30, \"rank_load\": [50, 50]}\n"
	"{\"step\": 2, \"val_loss\": 3.5, \"val_tokens\": 7}\n"
	"{\"step\": 3, \"loss\": 2.0, \"lr\": 0.3, \"ms\": 20.0, \"tokens\": 100, "
	"\"routed\": 200, \"dropped\": 10, \"rank_load\": [50, 50], "
	"\"expert_load\": [[30, 10], [20, 20]]}\n"
	"{\"step\": 4, \"lo"; /* killed here */

#define SLICE(name, kind, pid, lane, from, length, node, submitted, ready)                         \
	"{\"ph\":\"X\",\"name\":\"" name "\",\"cat\":\"" kind "\",\"pid\":" #pid ",\"tid\":" #lane \
	",\"ts\":" #from ",\"dur\":" #length ",\"args\":{\"node\":" #node ",\"ready\":" #ready     \
	",\"submitted\":" #submitted "}},\n"
#define TRACK(pid, name)                                                                           \
	"{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":" #pid ",\"args\":{\"name\":\"" name      \
	"\"}},\n"
/* clang-format off */
#define GRAPH \
	"\"fsmoe\":{\"version\":1,\"groups\":{\"world\":[[0,1]]},\"nodes\":[\n" \
	"{\"op\":\"linear\",\"work\":1,\"after\":[]},\n" \
	"{\"op\":\"alltoall\",\"work\":2,\"group\":\"world\",\"after\":[0]},\n" \
	"{\"op\":\"expert\",\"work\":3,\"after\":[0,1]},\n" \
	"{\"op\":\"allgather\",\"work\":4,\"group\":\"world\",\"after\":[2]}]},\n"
/*
 * From 10 to 90. rank 1 is given its first task at 25, 15 after the step began, so rank 0 waits
 * inside of its AlltoAll from 32 until rank 1 comes at 50; from then on it takes 12, of which 5 is
 * what was predicted, since there is no other AlltoAll to compare with. Then a task is said to be
 * ready 2 after its AlltoAll has ended, and starts 1 later.
 */
static const char timeline[] = "{" GRAPH "\"traceEvents\":[\n"
	TRACK(0, "rank 0")
	SLICE("linear </script>", "gemm", 0, 0, 10, 20, 0, 5, 8)
	SLICE("alltoall", "alltoall", 0, 2, 32, 30, 1, 6, 31)
	SLICE("expert", "expert", 0, 0, 65, 15, 2, 7, 64)
	SLICE("allgather", "allgather", 0, 1, 81, 9, 3, 8, 80.5)
	TRACK(1, "rank 1")
	SLICE("linear", "gemm", 1, 0, 28, 20, 0, 25, 26)
	SLICE("alltoall", "alltoall", 1, 2, 50, 10, 1, 26, 49)
	SLICE("expert", "expert", 1, 0, 62, 20, 2, 27, 61)
	SLICE("allgather", "allgather", 1, 1, 84, 5, 3, 28, 83)
	TRACK(2, "predicted")
	SLICE("linear", "gemm", 2, 0, 0, 12, 0, 0, 0)
	SLICE("alltoall", "alltoall", 2, 2, 12, 5, 1, 0, 12)
	SLICE("expert", "expert", 2, 0, 17, 18, 2, 0, 17)
	SLICE("allgather", "allgather", 2, 1, 35, 5, 3, 0, 35)
	"{\"ph\":\"M\",\"name\":\"fsmoe\",\"pid\":0,\"args\":{}}]}\n";
/* clang-format on */

/* Worked by hand from these files. */
static const struct
{
	const char *path;
	double value;
} expected[] = {
	{"summary/steps", 3},
	{"summary/first_loss", 4},
	{"summary/last_loss", 2},
	{"summary/held_out_loss", 3.5},
	{"summary/tokens_per_s", 300 / 0.06},
	{"summary/median_ms", 20},
	{"summary/dropped_share", 90.0 / 600},
	{"columns/lr/1", 0.2},
	{"held_out/0/0", 2},
	{"rank_load/0/1", 60},
	{"expert_load/from", 3},
	{"expert_load/layers/0/0", 30},
	{"expert_load/peak/0/0", 3},
	{"expert_load/peak/0/1", 1.5},
	{"expert_load/peak/0/2", 1},
	{"timeline/span_us", 80},
	{"timeline/predicted_us", 40},
	{"timeline/unexplained_us", 0},
	{"timeline/split/0/compute/gemm", 20},
	{"timeline/split/0/compute/expert", 15},
	{"timeline/split/0/exposed/alltoall", 5},
	{"timeline/split/0/waits/late peer", 18},
	{"timeline/split/0/waits/slow link", 7},
	{"timeline/split/0/waits/scheduler", 2},
	{"timeline/split/0/waits/overhead", 3},
	{"timeline/split/0/waits/done", 10},
	{"timeline/split/1/exposed/alltoall", 10},
	{"timeline/split/1/waits/submission", 15},
	{"timeline/split/1/waits/scheduler", 4},
	{"timeline/split/1/waits/overhead", 3},
	{"timeline/split/1/waits/done", 8},
	{"timeline/lanes/2/run", 5},
	{"timeline/lanes/2/waits/dependency", 20},
	{"timeline/lanes/2/waits/late peer", 18},
	{"timeline/lanes/2/waits/slow link", 7},
	{"timeline/lanes/2/waits/done", 28},
	{"timeline/path/us", 80},
	{"timeline/path/tasks/gemm", 20},
	{"timeline/path/tasks/alltoall", 10},
	{"timeline/path/tasks/expert", 20},
	{"timeline/path/tasks/allgather", 6},
	{"timeline/path/edges/scheduler", 5},
	{"timeline/path/edges/overhead", 4},
	{"timeline/path/edges/late peer", 15},
	{"timeline/path/segments/0/0", 1},
	{"timeline/path/delays/0/rank", 1},
	{"timeline/path/delays/0/us", 15},
	{"timeline/path/delays/1/us", 8},
	{"timeline/by_kind/0/measured_us", 20},
	{"timeline/by_kind/0/predicted_us", 12},
	{"timeline/by_kind/0/tasks", 1},
};

static void check_by_hand(const char *dir)
{
	struct fsmoe_report report;

	write_file(dir, "metrics.jsonl", metrics);
	write_file(dir, "timeline.json", timeline);
	TRY(fsmoe_report_open(&report, dir));
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		equal(expected[i].path, at(report.root, expected[i].path), expected[i].value);
	if (json_object_get(report.root, "plan") || json_object_get(report.root, "profile"))
		equal("plans and profiles", 1, 0);
	fsmoe_report_close(&report);
}

/* The page holds the report's data, whatever names are in it. */
static void check_page(const char *dir)
{
	static const char begin[] = "type=\"application/json\">\n", end[] = "\n</script>";
	char path[4096], *text, *from, *to;
	struct fsmoe_report report;
	json_t *data = NULL;
	size_t n;
	FILE *file;

	snprintf(path, sizeof(path), "%s/report.html", dir);
	TRY(fsmoe_report_open(&report, dir));
	TRY(fsmoe_report_write_html(&report, path));
	file = fopen(path, "r");
	text = calloc(1, 16 << 20);
	n = file && text ? fread(text, 1, (16 << 20) - 1, file) : 0;
	from = n ? strstr(text, begin) : NULL;
	to = from ? strstr(from, end) : NULL;
	if (to)
		data = json_loadb(from + strlen(begin), (size_t)(to - from) - strlen(begin), 0,
				  NULL);
	if (!data || !json_equal(data, report.root))
		equal("the page's data as the report's", 0, 1);
	if (n && (strstr(text, "http://") != strstr(text, "http://www.w3.org/2000/svg") ||
		  strstr(text, "https://") || strstr(text, "src=") || strstr(text, "@DATA@")))
		equal("a page that needs nothing else", 0, 1);
	json_decref(data);
	fsmoe_report_close(&report);
	if (file)
		fclose(file);
	free(text);
}

static void refused(const char *dir, const char *name, const char *text, const char *sentence)
{
	struct fsmoe_report report;

	write_file(dir, name, text);
	if (!fsmoe_report_open(&report, dir))
	{
		printf("a bad %s is taken: %s\n", name, text);
		fsmoe_report_close(&report);
		failures++;
	}
	else if (!strstr(fsmoe_last_error(), sentence))
	{
		printf("'%s' does not say '%s'\n", fsmoe_last_error(), sentence);
		failures++;
	}
}

/* However much of a timeline is there, it is a sentence or a report. */
static void check_cut(const char *dir)
{
	char *part = strdup(timeline);

	for (size_t n = 0; n + 3 < sizeof(timeline); n += 7)
	{
		memcpy(part, timeline, sizeof(timeline));
		part[n] = '\0';
		refused(dir, "timeline.json", part, "timeline.json");
	}
	free(part);
}

static void check_refusals(const char *dir)
{
	refused(dir, "timeline.json", "{\"traceEvents\":[]}\n", "does not say what tasks wait for");
	refused(dir, "timeline.json", "{" GRAPH "\"traceEvents\":[{\"ph\":\"X\"}]}\n",
		"is no timeline");
	refused(dir, "timeline.json", "{" GRAPH "\"traceEvents\":[]}\n", "is no timeline");
	refused(dir, "timeline.json", "[]\n", "is no timeline");
	refused(dir, "timeline.json",
		"{\"fsmoe\":{\"groups\":{},\"nodes\":[{\"op\":\"x\",\"after\":[0]}]},"
		"\"traceEvents\":[" SLICE("x", "gemm", 0, 0, 0, 1, 0, 0, 0) "{}]}\n",
		"is no timeline");
	check_cut(dir);
	refused(dir, "timeline.json", "{\"traceEvents\":[", "timeline.json:");
	write_file(dir, "timeline.json", timeline);
	refused(dir, "plan.json", "{\"format\": \"fsmoe profile\"}\n", "is no fsmoe plan");
	write_file(dir, "plan.json", "{\"format\": \"fsmoe plan\"}\n");
	refused(dir, "metrics.jsonl", "{\"step\": 1}\nnonsense\n{\"step\": 2}\n",
		"metrics.jsonl:2: this line");
	refused(dir, "metrics.jsonl", "", "has no step");
}

static double sum_of(const json_t *object)
{
	double sum = 0;
	const char *key;
	json_t *us;

	json_object_foreach((json_t *)object, key, us) sum += json_number_value(us);
	return sum;
}

/* A kind's time is its slices' in the mean over ranks, a lane's what it ran and what it waited for
 * outside and inside of its tasks. */
static void check_sums(const json_t *tl)
{
	const double span = at(tl, "span_us");
	const size_t ranks = json_array_size(json_object_get(tl, "split"));
	json_t *part, *track, *slice;
	size_t k, t, s;

	json_array_foreach(json_object_get(tl, "split"), k, part)
		equal("a rank's parts",
		      sum_of(json_object_get(part, "compute")) +
			      sum_of(json_object_get(part, "exposed")) +
			      sum_of(json_object_get(part, "waits")),
		      span);
	json_array_foreach(json_object_get(tl, "lanes"), k, part)
	{
		double busy = 0;

		equal("a lane's parts", at(part, "run") + sum_of(json_object_get(part, "waits")),
		      span);
		track = json_array_get(json_object_get(tl, "tracks"), (size_t)at(part, "rank"));
		json_array_foreach(json_object_get(track, "slices"), s, slice) busy +=
			at(slice, "3") == at(part, "lane") ? at(slice, "1") - at(slice, "0") : 0;
		json_array_foreach(json_object_get(tl, "waits"), s,
				   slice) if (at(slice, "0") == at(part, "rank") &&
					      at(slice, "1") == at(part, "lane")) busy +=
			at(slice, "3") - at(slice, "2");
		/* Waiting inside a task is in both. */
		if (busy < span - 1e-3 || (at(part, "lane") == 0 && busy > span + 1e-3))
			equal("a lane's tasks and gaps", busy, span);
	}
	json_array_foreach(json_object_get(tl, "by_kind"), k, part)
	{
		double sum = 0;

		json_array_foreach(json_object_get(tl, "tracks"), t, track) json_array_foreach(
			json_object_get(track, "slices"), s,
			slice) if (!json_is_true(json_object_get(track, "predicted")) &&
				   at(slice, "4") == (double)k) sum +=
			at(slice, "1") - at(slice, "0");
		equal("a kind's time", at(part, "measured_us"), sum / (double)ranks);
	}
}

/* The path's segments follow each other from the step's start to its end. */
static void check_path(const json_t *tl)
{
	const double span = at(tl, "span_us");
	const json_t *path = json_object_get(tl, "path");
	double until = 0;
	json_t *segment;
	size_t i;

	json_array_foreach(json_object_get(path, "segments"), i, segment)
	{
		if (at(segment, "1") < until - 1e-6)
			equal("a segment of the critical path begins", at(segment, "1"), until);
		until = at(segment, "2");
	}
	equal("the critical path ends", until, span);
	equal("its parts",
	      sum_of(json_object_get(path, "tasks")) + sum_of(json_object_get(path, "edges")),
	      at(path, "us"));
	if (!(at(path, "us") >= 0.95 * span))
		equal("the critical path is 95 % of the step", at(path, "us"), span);
	if (!(at(tl, "unexplained_us") <= 0.02 * span))
		equal("what nobody can explain", at(tl, "unexplained_us"), 0);
}

/* All the time in which gradients were exchanged, in the mean over ranks, is in a window or at the
 * end: what the file says itself, since the page only has kinds. */
static void check_windows(const char *dir, const json_t *tl)
{
	char path[4096];
	double in_windows = 0, exchanged = 0;
	json_t *file, *nodes, *row, *event;
	size_t i;

	snprintf(path, sizeof(path), "%s/timeline.json", dir);
	file = json_load_file(path, 0, NULL);
	nodes = json_object_get(json_object_get(file, "fsmoe"), "nodes");
	json_array_foreach(json_object_get(file, "traceEvents"), i, event)
	{
		const double node = at(event, "args/node");

		if (isfinite(node) &&
		    at(event, "pid") < (double)json_array_size(json_object_get(tl, "split")) &&
		    json_is_true(json_object_get(json_array_get(nodes, (size_t)node), "gradients")))
			exchanged += at(event, "dur");
	}
	json_array_foreach(json_object_get(tl, "windows"), i, row) in_windows +=
		at(row, "gradient_us");
	equal("gradients were exchanged", exchanged > 0, 1);
	equal("gradients in windows", in_windows,
	      exchanged / (double)json_array_size(json_object_get(tl, "split")));
	json_decref(file);
}

/* Holds for any run. */
static void check_run(const char *dir, int windows)
{
	struct fsmoe_report report;
	const json_t *tl;

	TRY(fsmoe_report_open(&report, dir));
	tl = json_object_get(report.root, "timeline");
	equal("a timeline with ranks", json_array_size(json_object_get(tl, "split")) > 0, 1);
	check_sums(tl);
	check_path(tl);
	if (windows)
		check_windows(dir, tl);
	fsmoe_report_close(&report);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	if (argc > 2)
	{
		check_run(argv[2], 1);
		check_page(argv[2]);
		return failures != 0;
	}
	mkdir(argv[1], 0777);
	check_by_hand(argv[1]);
	check_page(argv[1]);
	check_run(argv[1], 0);
	check_refusals(argv[1]);
	return failures != 0;
}
