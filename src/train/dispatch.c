/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fsmoe/module.h>
#include <fsmoe/train.h>

int fsmoe_train_choose_dispatch(struct fsmoe_model_spec *model, struct fsmoe_dispatch_times *times,
				fsmoe_groups_t groups, const struct fsmoe_train_opts *opts,
				const struct fsmoe_schedule *schedule, fsmoe_profile_t profile,
				int max_degree)
{
	const int most = sizeof(times->time) / sizeof(times->time[0]);
	struct fsmoe_module_info all[most];
	struct fsmoe_model_spec with = *model;
	int best = -1, n = most, err = 0;

	fsmoe_module_list(FSMOE_MODULE_DISPATCH, all, &n);
	times->n = n < most ? n : most;
	for (int i = 0; i < times->n; i++)
	{
		struct fsmoe_plan plan = {0};

		times->time[i].dispatch = with.dispatch = all[i].name;
		err = fsmoe_train_plan(&plan, groups, fsmoe_model_as_forward(&with), opts, schedule,
				       profile, max_degree);
		if (err && err != -ENODATA)
			return err;
		times->time[i].seconds =
			err ? -1 : fsmoe_train_plan_seconds(&plan, opts->micro_batches);
		fsmoe_plan_destroy(&plan);
		if (!err && (best < 0 || times->time[i].seconds < times->time[best].seconds))
			best = i;
	}
	if (best < 0)
		return err;
	model->dispatch = times->time[best].dispatch;
	return 0;
}
