/* SPDX-License-Identifier: Apache-2.0 */
#include "measure/sampler.h"
#include "runtime/introspect.h"

#include <fsmoe/error.h>
#include <stdio.h>

void fsmoe_measure_opts_init(struct fsmoe_measure_opts *opts)
{
	*opts = (struct fsmoe_measure_opts){.size = sizeof(*opts), .seconds = 40, .max_degree = 8};
}

/* How much longer computation takes on average than in the median. Interrupts make a few percent
 * anywhere; more of it means that ranks take turns on cores they share. */
static double find_sharing(const struct fsmoe_sampler *sampler)
{
	const double ratio = sampler->by_means / sampler->by_medians;

	return ratio > 1.15 ? ratio : 1;
}

static int fit(fsmoe_profile_t profile, const struct fsmoe_sampler *sampler)
{
	const struct fsmoe_samples *samples = sampler->samples;
	const double sharing = find_sharing(sampler);

	for (int kind = 0; kind < FSMOE_NKINDS; kind++)
		for (int lane = 0; lane < FSMOE_NLANES; lane++)
		{
			const struct fsmoe_series *s = &samples->of[kind][lane];
			struct fsmoe_fit line;
			int err;

			if (s->count == 0)
				continue;
			err = fsmoe_fit_line(s->n, s->seconds, s->count, &line);
			if (!err && !FSMOE_KIND_IS_COMM(kind))
			{
				line.sharing = sharing;
				line.alpha *= sharing;
				line.beta *= sharing;
			}
			if (!err)
				err = fsmoe_profile_set(profile, (enum fsmoe_kind)kind,
							(enum fsmoe_lane)lane, &line);
			if (err)
				return err;
		}
	return 0;
}

/* Describes where it measured, as far as the library knows; programs add more. */
static int describe(fsmoe_profile_t profile, fsmoe_runtime_t runtime)
{
	fsmoe_groups_t groups = fsmoe_runtime_groups(runtime);
	fsmoe_topo_t topo = groups ? fsmoe_groups_topo(groups) : NULL;
	const int ranks = topo ? fsmoe_topo_ranks(topo) : 1,
		  nodes = topo ? fsmoe_topo_nodes(topo) : 1;
	char text[FSMOE_PROFILE_TEXT];
	int err;

	snprintf(text, sizeof(text), "node:%d cpu:%d", nodes, ranks / nodes);
	err = fsmoe_profile_describe(profile, text, "measured by fsmoe " PACKAGE_VERSION);
	snprintf(text, sizeof(text), "dp %d, tp %d, ep %d, esp %d",
		 fsmoe_group_size(groups, FSMOE_GROUP_DP), fsmoe_group_size(groups, FSMOE_GROUP_TP),
		 fsmoe_group_size(groups, FSMOE_GROUP_EP),
		 fsmoe_group_size(groups, FSMOE_GROUP_ESP));
	if (!err)
		err = fsmoe_profile_set_arithmetic(profile, fsmoe_runtime_device(runtime),
						   fsmoe_runtime_dtype(runtime));
	return err ? err : fsmoe_profile_note(profile, "layout", text);
}

int fsmoe_profile_measure(fsmoe_profile_t *profile, fsmoe_runtime_t runtime,
			  const struct fsmoe_model_spec *model,
			  const struct fsmoe_train_opts *train,
			  const struct fsmoe_measure_opts *given)
{
	struct fsmoe_measure_opts opts;
	struct fsmoe_samples samples = {0};
	struct fsmoe_sampler sampler = {.runtime = runtime, .samples = &samples};
	fsmoe_profile_t p = NULL;
	int err = fsmoe_profile_create(&p), recording = fsmoe_runtime_set_recording(runtime, 1);

	fsmoe_measure_opts_init(&opts);
	if (given)
		opts = *given;
	sampler.world = fsmoe_comms_get(fsmoe_runtime_comms(runtime), FSMOE_GROUP_WORLD);
	if (!err)
		err = fsmoe_sampler_layers(&sampler, model, train, 0.6 * opts.seconds);
	if (!err)
		err = fsmoe_sampler_collectives(&sampler, model, train, opts.max_degree,
						0.4 * opts.seconds);
	if (!err)
		err = fit(p, &sampler);
	if (!err)
		err = describe(p, runtime);
	fsmoe_runtime_set_recording(runtime, recording);
	fsmoe_samples_free(&samples);
	if (err)
		fsmoe_profile_destroy(p);
	else
		*profile = p;
	return err;
}
