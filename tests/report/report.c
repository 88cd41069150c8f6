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
	"\"routed\": 200, \"dropped\": 10, \"rank_load\": [50, 50]}\n"
	"{\"step\": 4, \"lo"; /* killed here */

#define SLICE(name, kind, pid, lane, from, length, ready)                                          \
	"{\"ph\":\"X\",\"name\":\"" name "\",\"cat\":\"" kind "\",\"pid\":" #pid ",\"tid\":" #lane \
	",\"ts\":" #from ",\"dur\":" #length ",\"args\":{\"node\":0,\"ready\":" #ready "}},\n"
#define TRACK(pid, name)                                                                           \
	"{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":" #pid ",\"args\":{\"name\":\"" name      \
	"\"}},\n"
/*
 * rank 0 computes 10..30, is idle while the AlltoAll of 25..50 goes on, has its next task ready at
 * 50 but starts it at 55, ends at 75; then nothing is ready until the job's last end, 90. rank 1
 * starts at 40, and its AllGather (intra) hides behind its AlltoAll (inter).
 */
static const char timeline[] = "{\"traceEvents\":[\n" TRACK(0, "rank 0") SLICE(
	"linear </script>", "gemm", 0, 0, 10, 20,
	10) SLICE("alltoall", "alltoall", 0, 2, 25, 25, 25) SLICE("expert", "expert", 0, 0, 55, 20,
								  50) TRACK(1, "rank 1")
	SLICE("linear", "gemm", 1, 0, 40, 10, 40) SLICE("alltoall", "alltoall", 1, 2, 50, 30, 50)
		SLICE("allgather", "allgather", 1, 1, 60, 30, 60) TRACK(2, "predicted")
			SLICE("linear", "gemm", 2, 0, 0, 12,
			      0) "{\"ph\":\"M\",\"name\":\"fsmoe\",\"pid\":0,\"args\":{}}]}\n";

static void check_by_hand(const char *dir)
{
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
		{"timeline/span_us", 80},
		{"timeline/predicted_us", 12},
		{"timeline/split/0/compute/gemm", 20},
		{"timeline/split/0/compute/expert", 20},
		{"timeline/split/0/exposed/alltoall", 20},
		{"timeline/split/0/started", 5},
		{"timeline/split/0/waiting", 15},
		{"timeline/split/1/compute/gemm", 10},
		{"timeline/split/1/exposed/alltoall", 30},
		{"timeline/split/1/exposed/allgather", 10},
		{"timeline/split/1/started", 0},
		{"timeline/split/1/waiting", 30},
		{"timeline/by_kind/0/measured_us", 15},
		{"timeline/by_kind/0/predicted_us", 12},
		{"timeline/by_kind/0/tasks", 1},
	};
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

/* What the page holds is what the report holds, whatever names are in it. */
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

static void check_refusals(const char *dir)
{
	refused(dir, "timeline.json", "{\"traceEvents\":[{\"ph\":\"X\"}]}\n", "is no timeline");
	refused(dir, "timeline.json", "{\"traceEvents\":[]}\n", "is no timeline");
	refused(dir, "timeline.json", "{\"traceEvents\":[", "timeline.json:");
	write_file(dir, "timeline.json", timeline);
	refused(dir, "plan.json", "{\"format\": \"fsmoe profile\"}\n", "is no fsmoe plan");
	write_file(dir, "plan.json", "{\"format\": \"fsmoe plan\"}\n");
	refused(dir, "metrics.jsonl", "{\"step\": 1}\nnonsense\n{\"step\": 2}\n",
		"metrics.jsonl:2: this line");
	refused(dir, "metrics.jsonl", "", "has no step");
}

/* Of any run: each rank's parts add up to the step, and the totals to the tasks. */
static void check_run(const char *dir)
{
	struct fsmoe_report report;
	const json_t *tl;
	json_t *part, *us, *track, *slice;
	const char *kind;
	size_t i, k;

	TRY(fsmoe_report_open(&report, dir));
	tl = json_object_get(report.root, "timeline");
	json_array_foreach(json_object_get(tl, "split"), i, part)
	{
		double sum = at(part, "started") + at(part, "waiting");

		json_object_foreach(json_object_get(part, "compute"), kind, us) sum +=
			json_number_value(us);
		json_object_foreach(json_object_get(part, "exposed"), kind, us) sum +=
			json_number_value(us);
		equal("a rank's parts", sum, at(tl, "span_us"));
	}
	equal("tracks", i > 0, 1);
	json_array_foreach(json_object_get(tl, "by_kind"), k, part)
	{
		double sum = 0;
		size_t t, s;

		json_array_foreach(json_object_get(tl, "tracks"), t, track) json_array_foreach(
			json_object_get(track, "slices"), s,
			slice) if (!json_is_true(json_object_get(track, "predicted")) &&
				   at(slice, "4") == (double)k) sum +=
			at(slice, "1") - at(slice, "0");
		equal("a kind's time", at(part, "measured_us"), sum / (double)i);
	}
	fsmoe_report_close(&report);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	if (argc > 2)
	{
		check_run(argv[2]);
		check_page(argv[2]);
		return failures != 0;
	}
	mkdir(argv[1], 0777);
	check_by_hand(argv[1]);
	check_page(argv[1]);
	check_run(argv[1]);
	check_refusals(argv[1]);
	return failures != 0;
}
