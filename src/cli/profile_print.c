/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "cli/cli.h"
#include "cli/profile.h"
#include "cost/profile.h"
#include "runtime/introspect.h"
#include "runtime/version.h"
#include "topo/version.h"

#include <fsmoe/error.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The processor's name. The host's name is never written. */
static void processor(char *text, size_t size)
{
	char line[512];
	FILE *file = fopen("/proc/cpuinfo", "re");

	snprintf(text, size, "unknown");
	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, "model name", 10) && strchr(line, ':'))
		{
			line[strcspn(line, "\n")] = '\0';
			snprintf(text, size, "%.100s", strchr(line, ':') + 2);
			break;
		}
	if (file)
		fclose(file);
}

int cli_profile_describe(const struct cli_profile *o, fsmoe_profile_t profile,
			 fsmoe_runtime_t runtime)
{
	const struct fsmoe_model_spec *m = &o->train.model;
	fsmoe_groups_t groups = fsmoe_runtime_groups(runtime);
	const time_t now = time(NULL);
	char text[FSMOE_PROFILE_TEXT], name[128];
	int err;

	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
	err = fsmoe_profile_note(profile, "date", text);
	processor(name, sizeof(name));
	snprintf(text, sizeof(text), "%s, %ld cores", name, sysconf(_SC_NPROCESSORS_ONLN));
	if (!err)
		err = fsmoe_profile_note(profile, "processor", text);
	snprintf(text, sizeof(text), "fsmoe %s, StarPU %s, %.80s", PACKAGE_VERSION,
		 fsmoe_starpu_version(), fsmoe_mpi_version());
	if (!err)
		err = fsmoe_profile_note(profile, "versions", text);
	snprintf(text, sizeof(text), "%d", fsmoe_group_size(groups, FSMOE_GROUP_WORLD));
	if (!err)
		err = fsmoe_profile_note(profile, "ranks", text);
	snprintf(text, sizeof(text), "%d", fsmoe_runtime_blas_threads(runtime));
	if (!err)
		err = fsmoe_profile_note(profile, "blas_threads", text);
	snprintf(text, sizeof(text),
		 "%.32s: hidden size %d, ffn size %d, heads %d, experts %d, top-k %d, capacity "
		 "factor %g, vocab size %d, seq length %d, batch %d / %d",
		 o->train.preset ? o->train.preset : "model", m->hidden_size, m->ffn_size, m->heads,
		 m->experts, m->top_k, m->capacity_factor, m->vocab_size, m->seq_length,
		 o->train.train.global_batch, o->train.train.micro_batches);
	return err ? err : fsmoe_profile_note(profile, "model", text);
}

void cli_profile_compare(fsmoe_profile_t profile, const char *path,
			 const struct fsmoe_runtime_opts *opts)
{
	const char *device = fsmoe_profile_device(profile), *dtype = fsmoe_profile_dtype(profile);

	if ((*device && strcmp(device, opts->device) != 0) ||
	    (*dtype && strcmp(dtype, opts->dtype) != 0))
		fsmoe_log(FSMOE_LOG_WARNING,
			  "%s was measured on the device %s in %s, and this run is on %s in %s: "
			  "measure again with 'fsmoe profile --device %s --dtype %s'",
			  path, *device ? device : opts->device, *dtype ? dtype : opts->dtype,
			  opts->device, opts->dtype, opts->device, opts->dtype);
}

static void print_line(enum fsmoe_kind kind, enum fsmoe_lane lane, const struct fsmoe_fit *fit)
{
	printf("%-14s %-7s %10.2f %10.3f %7.4f %7.1f  %9.3g %9.3g %7d %7d\n", fsmoe_kind_name(kind),
	       fsmoe_lane_name(lane), 1e6 * fit->alpha, fit->beta > 0 ? 1e-9 / fit->beta : 0.0,
	       fit->r2, 100 * fit->residual, fit->low, fit->high, fit->samples, fit->dropped);
}

void cli_profile_print(fsmoe_profile_t profile, double seconds)
{
	const char *key, *text;
	struct fsmoe_fit fit;

	if (!fsmoe_profile_get(profile, FSMOE_KIND_GEMM, FSMOE_COMPUTE, &fit) && fit.sharing > 1)
		printf("%-12s computation takes %.2f times its median on average: ranks take turns "
		       "on shared cores\n",
		       "sharing", fit.sharing);
	for (int i = 0; (text = fsmoe_profile_note_at(profile, i, &key)); i++)
		printf("%-12s %s\n", key, text);
	printf("%-12s %s\n", "machine", fsmoe_profile_machine(profile));
	printf("%-12s %s, %s\n\n", "arithmetic", fsmoe_profile_device(profile),
	       fsmoe_profile_dtype(profile));
	printf("%-14s %-7s %10s %10s %7s %7s  %9s %9s %7s %7s\n", "kind", "lane", "alpha us", "G/s",
	       "R2", "off %", "from", "to", "samples", "dropped");
	for (int kind = 0; kind < FSMOE_NKINDS; kind++)
		for (int lane = 0; lane < FSMOE_NLANES; lane++)
			if (profile->fitted[kind][lane])
				print_line((enum fsmoe_kind)kind, (enum fsmoe_lane)lane,
					   &profile->fit[kind][lane]);
	printf("from, to: flops, or bytes for memory, reduction, routing and communication. G/s: "
	       "10^9 of these per second, without alpha.\noff: median distance of the measurements "
	       "from the line. Measured in %.0f s\n",
	       seconds);
}
