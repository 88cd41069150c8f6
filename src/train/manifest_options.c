/* SPDX-License-Identifier: Apache-2.0 */
#include "train/manifest_options.h"

#include "train/config.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/module.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Options of a model that may change under the same weights: how many tokens are dropped, and what
 * only says how the work is done. */
static const char *const may_differ[] = {"capacity-factor", "group",    "forward-degree",
					 "backward-degree", "dispatch", "order"};

/* The members of a train_config that an object holds. */
struct part
{
	size_t first, end;
};
#define PART(member)                                                                               \
	((struct part){offsetof(struct fsmoe_train_config, member),                                \
		       offsetof(struct fsmoe_train_config, member) +                               \
			       sizeof(((struct fsmoe_train_config *)NULL)->member)})

/* The next option of a part from `at` on; the seed is stored apart. */
static const struct fsmoe_option *next(struct part part, const struct fsmoe_option *at)
{
	for (; at->type != FSMOE_OPTION_END; at++)
		if (at->type != FSMOE_OPTION_HEADING && at->type != FSMOE_OPTION_U64 &&
		    at->offset >= part.first && at->offset < part.end)
			return at;
	return NULL;
}

static json_t *value_of(const struct fsmoe_option *option, const void *config)
{
	const void *at = (const char *)config + option->offset;

	switch (option->type)
	{
	case FSMOE_OPTION_INT:
		return json_integer(*(const int *)at);
	case FSMOE_OPTION_REAL:
		return json_real(*(const double *)at);
	case FSMOE_OPTION_FLAG:
		return json_boolean(*(const int *)at);
	default:
		return *(const char *const *)at ? json_string(*(const char *const *)at) : NULL;
	}
}

static const char *key_of(const struct fsmoe_option *option, char *key, size_t size)
{
	snprintf(key, size, "%s", option->name);
	for (char *c = key; *c; c++)
		*c = *c == '-' ? '_' : *c;
	return key;
}

static json_t *from(const struct fsmoe_train_config *config, struct part part)
{
	json_t *object = json_object();
	char key[64];

	for (const struct fsmoe_option *o = next(part, fsmoe_train_options); o;
	     o = next(part, o + 1))
	{
		json_t *value = value_of(o, config);

		if (value)
			json_object_set_new(object, key_of(o, key, sizeof(key)), value);
	}
	return object;
}

json_t *fsmoe_manifest_from_model(const struct fsmoe_model_spec *model)
{
	struct fsmoe_train_config config = {.model = *model};

	return from(&config, PART(model));
}

json_t *fsmoe_manifest_from_training(const struct fsmoe_train_opts *opts)
{
	struct fsmoe_train_config config = {.train = *opts};
	json_t *object = from(&config, PART(train));

	/* The option is the model's, but a model of the user's own has no spec. */
	json_object_set_new(object, "seq", json_integer(opts->seq));
	return object;
}

static int read(const struct fsmoe_json *json, json_t *object, struct fsmoe_train_config *config)
{
	struct fsmoe_json part = {.root = object, .path = json->path, .text = json->text};
	int err = fsmoe_train_config_init(config, NULL);

	return err ? err : fsmoe_options_json(fsmoe_train_options, &part, config);
}

int fsmoe_manifest_to_model(const struct fsmoe_json *json, json_t *object,
			    struct fsmoe_model_spec *model)
{
	struct fsmoe_train_config config;
	int err = read(json, object, &config);
	const struct fsmoe_gate *gate;
	const struct fsmoe_order *order = NULL;
	const struct fsmoe_dispatch *dispatch;
	const struct fsmoe_expert *expert;

	if (err)
		return err;
	if (!(gate = fsmoe_gate_find(config.model.gate)) ||
	    (config.model.order && !(order = fsmoe_order_find(config.model.order))) ||
	    !(dispatch = fsmoe_dispatch_find(config.model.dispatch)) ||
	    !(expert = fsmoe_expert_find(config.model.expert)))
		return fsmoe_fail(EINVAL, "%s: %s", json->path, fsmoe_last_error());
	*model = config.model;
	model->gate = gate->module.name;
	model->order = order ? order->module.name : NULL;
	model->dispatch = dispatch->module.name;
	model->expert = expert->module.name;
	return 0;
}

int fsmoe_manifest_to_training(const struct fsmoe_json *json, json_t *object,
			       struct fsmoe_train_opts *opts)
{
	struct fsmoe_train_config config;
	int err = read(json, object, &config);

	if (err)
		return err;
	*opts = config.train;
	opts->seq = config.model.seq;
	/* The option's choices are static, what the JSON holds is not. */
	for (const struct fsmoe_option *o = fsmoe_train_options; o->type != FSMOE_OPTION_END; o++)
		if (o->offset == offsetof(struct fsmoe_train_config, train.optimizer) && o->choices)
			for (int i = 0; o->choices[i]; i++)
				if (!strcmp(o->choices[i], config.train.optimizer))
					opts->optimizer = o->choices[i];
	return 0;
}

static int is_free(const struct fsmoe_option *option)
{
	for (size_t i = 0; i < sizeof(may_differ) / sizeof(may_differ[0]); i++)
		if (!strcmp(option->name, may_differ[i]))
			return 1;
	return 0;
}

static int differ(const char *path, const struct fsmoe_option *option, const json_t *stored,
		  const json_t *here)
{
	char *a = json_dumps(stored, JSON_ENCODE_ANY | JSON_REAL_PRECISION(10)),
	     *b = json_dumps(here, JSON_ENCODE_ANY | JSON_REAL_PRECISION(10));
	int err = fsmoe_fail(EINVAL,
			     "%s is of a model with %s %s, this one has %s: give --%s=%s, or "
			     "another checkpoint",
			     path, option->name, a ? a : "?", b ? b : "?", option->name,
			     json_is_string(stored) ? json_string_value(stored)
			     : a                    ? a
						    : "?");

	free(a);
	free(b);
	return err;
}

int fsmoe_manifest_same_model(const char *path, const struct fsmoe_model_spec *stored,
			      const struct fsmoe_model_spec *model)
{
	struct fsmoe_train_config a = {.model = *stored}, b = {.model = *model};
	const struct part part = PART(model);
	int err = 0;

	for (const struct fsmoe_option *o = next(part, fsmoe_train_options); o && !err;
	     o = next(part, o + 1))
	{
		json_t *x = value_of(o, &a), *y = value_of(o, &b);

		/* No name of a module is the default's. */
		if (!is_free(o) && x && y && !json_equal(x, y))
			err = differ(path, o, x, y);
		json_decref(x);
		json_decref(y);
	}
	return err;
}
