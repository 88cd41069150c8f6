/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fsmoe/module.h>
#include <fsmoe/train.h>

/* Predicts a step's layers with one dispatch. */
static int predict_dispatch(struct fsmoe_dispatch_time *time, fsmoe_groups_t groups,
			    const struct fsmoe_model_spec *model,
			    const struct fsmoe_train_opts *opts,
			    const struct fsmoe_schedule *schedule, fsmoe_profile_t profile,
			    int max_degree)
{
	struct fsmoe_model_spec with = *model;
	struct fsmoe_plan plan = {0};
	int err;

	with.dispatch = time->dispatch;
	err = fsmoe_train_plan(&plan, groups, fsmoe_model_as_forward(&with), opts, schedule,
			       profile, max_degree);
	time->seconds = err ? -1 : fsmoe_train_plan_seconds(&plan, opts->micro_batches);
	fsmoe_plan_destroy(&plan);
	return err;
}

int fsmoe_train_choose_dispatch(const char **best, struct fsmoe_dispatch_time *times, int *n,
				fsmoe_groups_t groups, const struct fsmoe_model_spec *model,
				const struct fsmoe_train_opts *opts,
				const struct fsmoe_schedule *schedule, fsmoe_profile_t profile,
				int max_degree)
{
	struct fsmoe_module_info all[32];
	const struct fsmoe_dispatch_time *fastest = NULL;
	const int room = *n < 32 ? *n : 32;
	int err = 0;

	*n = 32;
	fsmoe_module_list(FSMOE_MODULE_DISPATCH, all, n);
	for (int i = 0; i < *n && i < room; i++)
	{
		times[i].dispatch = all[i].name;
		err = predict_dispatch(&times[i], groups, model, opts, schedule, profile,
				       max_degree);
		if (err && err != -ENODATA)
			return err;
		if (!err && (!fastest || times[i].seconds < fastest->seconds))
			fastest = &times[i];
	}
	if (!fastest)
		return err;
	*best = fastest->dispatch;
	return 0;
}
