/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/runtime_internal.h"

#include "base/file.h"
#include "runtime/introspect.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The record of a run: what every task's times were, step after step, a file a rank. Between steps
 * a step's arrays are copied into the file's buffer, 32 bytes a task; while tasks run nothing is
 * written. doc/formats.md has the file.
 */
struct fsmoe_record
{
	FILE *file;
	double offset; /* this rank's clock minus rank 0's */
	int programs;
	char path[PATH_MAX];
};

enum block_type
{
	BLOCK_RUN = 1,
	BLOCK_PROGRAM,
	BLOCK_STEP
};

struct block
{
	uint32_t type, program;
	uint64_t bytes; /* that follow */
};

static int finish(struct fsmoe_record *r, size_t written, size_t wanted)
{
	return written == wanted ? 0
				 : fsmoe_fail(errno ? errno : EIO, "cannot write %s: %s", r->path,
					      strerror(errno));
}

static int write_block(struct fsmoe_record *r, enum block_type type, int program, const void *data,
		       size_t bytes)
{
	const struct block block = {type, (uint32_t)program, bytes};
	size_t n = fwrite(&block, 1, sizeof(block), r->file);

	return finish(r, n + fwrite(data, 1, bytes, r->file), sizeof(block) + bytes);
}

static int write_run(struct fsmoe_record *r, const struct fsmoe_comm *world, double error)
{
	char text[256];
	const int n = snprintf(text, sizeof(text),
			       "{\"format\": \"fsmoe events\", \"version\": 2, \"rank\": %d, "
			       "\"ranks\": %d, \"clock_error\": %.9f}\n",
			       world->rank, world->size, error);

	return write_block(r, BLOCK_RUN, 0, text, (size_t)n);
}

/* Operations' names are words and dots: nothing to escape. */
static int write_program(struct fsmoe_record *r, const struct fsmoe_program *p)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	int *first = NULL, *pred = NULL, err = fsmoe_graph_edges(p->graph, &first, &pred);

	if (err || !f)
	{
		free(first);
		free(pred);
		if (f)
			fclose(f);
		free(text);
		return err ? err : fsmoe_fail(ENOMEM, "no memory to record a program");
	}
	fputs("{\"nodes\": [", f);
	for (int i = 0; i < p->nnodes; i++)
	{
		const struct fsmoe_node *n = &p->nodes[i];

		fprintf(f,
			"%s\n{\"op\": \"%s\", \"kind\": \"%s\", \"lane\": \"%s\", \"span\": "
			"\"%s\", \"phase\": \"%s\", \"layer\": %d, \"microbatch\": %d, \"chunk\": "
			"%d, \"seq\": %d, "
			"\"work\": %.17g, \"after\": [",
			i ? "," : "", n->op->name, fsmoe_kind_name(n->op->kind),
			fsmoe_lane_name(n->lane), fsmoe_lane_name(n->span),
			fsmoe_phase_name(n->phase), n->layer, n->micro_batch, n->chunk, n->seq,
			p->work[i]);
		for (int k = first[i]; k < first[i + 1]; k++)
			fprintf(f, "%s%d", k > first[i] ? ", " : "", pred[k]);
		fputs("]}", f);
	}
	fputs("\n]}\n", f);
	free(first);
	free(pred);
	err = fclose(f) ? fsmoe_fail(ENOMEM, "no memory to record a program")
			: write_block(r, BLOCK_PROGRAM, p->recorded, text, size);
	free(text);
	return err;
}

static size_t write_times(FILE *file, const double *time, int n, double offset)
{
	enum
	{
		AT_ONCE = 512
	};
	double part[AT_ONCE];
	size_t written = 0;

	for (int i = 0, k; i < n; i += k)
	{
		for (k = 0; k < AT_ONCE && i + k < n; k++)
			part[k] = time[i + k] > 0 ? time[i + k] - offset : 0;
		written += fwrite(part, 1, (size_t)k * sizeof(*part), file);
	}
	return written;
}

int fsmoe_record_step(struct fsmoe_program *p)
{
	struct fsmoe_record *r = p->runtime->record;
	const size_t bytes = sizeof(p->step) + 4 * (size_t)p->nnodes * sizeof(double);
	struct block block = {.type = BLOCK_STEP, .bytes = bytes};
	size_t n;
	int err = p->runtime->executor->observe(p);

	if (err)
		return err;
	if (!p->recorded)
	{
		p->recorded = ++r->programs;
		err = write_program(r, p);
		if (err)
			return err;
	}
	block.program = (uint32_t)p->recorded;
	n = fwrite(&block, 1, sizeof(block), r->file);
	n += fwrite(&p->step, 1, sizeof(p->step), r->file);
	n += write_times(r->file, p->times.submitted, p->nnodes, r->offset);
	n += write_times(r->file, p->times.ready, p->nnodes, r->offset);
	n += write_times(r->file, p->times.start, p->nnodes, r->offset);
	n += write_times(r->file, p->times.end, p->nnodes, r->offset);
	return finish(r, n, sizeof(block) + bytes);
}

void fsmoe_record_close(struct fsmoe_record *r)
{
	if (!r)
		return;
	fclose(r->file);
	free(r);
}

static int open_record(fsmoe_runtime_t rt, const char *folder)
{
	const struct fsmoe_comm *world = fsmoe_comms_get(rt->comms, FSMOE_GROUP_WORLD);
	struct fsmoe_record *r = calloc(1, sizeof(*r));
	double error = 0;
	int err = r ? fsmoe_file_mkdir(folder) : fsmoe_fail(ENOMEM, "no memory for a record");

	if (!err)
		err = fsmoe_runtime_clock(rt, &r->offset, &error);
	if (!err &&
	    snprintf(r->path, PATH_MAX, "%s/rank-%d.events", folder, world->rank) >= PATH_MAX)
		err = fsmoe_fail(ENAMETOOLONG, "the path %s is too long", folder);
	if (!err && !(r->file = fopen(r->path, "we")))
		err = fsmoe_fail(errno, "cannot write %s: %s", r->path, strerror(errno));
	if (err)
	{
		free(r);
		return err;
	}
	rt->record = r;
	return write_run(r, world, error);
}

int fsmoe_runtime_set_recording(fsmoe_runtime_t rt, int recording)
{
	const int before = rt->recording;

	rt->recording = recording;
	return before;
}

int fsmoe_runtime_record(fsmoe_runtime_t rt, int record, const char *folder)
{
	if (rt->starpu.runs)
		starpu_task_wait_for_all();
	fsmoe_record_close(rt->record);
	rt->record = NULL;
	rt->recording = record;
	return record && folder ? open_record(rt, folder) : 0;
}
