/* SPDX-License-Identifier: Apache-2.0 */
#include "config/checkpoint_config.h"

#include "config/config.h"
#include "plan/plan_json.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/module.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Options of a model that may change under the same weights: drops, auxiliary losses, and how the
 * work is done. */
static const char *const may_differ[] = {
	"capacity-factor", "routing-group", "drop-policy", "balance-loss",
	"importance-loss", "z-loss",        "allow-leak",  "forward-degree",
	"backward-degree", "dispatch",      "order",
};

/* A part of a train_config: the members between two offsets. */
struct part
{
	size_t first, end;
};
#define FROM_TO(a, b)                                                                              \
	((struct part){offsetof(struct fsmoe_train_config, a),                                     \
		       offsetof(struct fsmoe_train_config, b) +                                    \
			       sizeof(((struct fsmoe_train_config *)NULL)->b)})
#define PART(member) FROM_TO(member, member)
#define RUN_OPTIONS  FROM_TO(steps, preset)

/* The next option of a part from `at` on; the seed is stored apart. */
static const struct fsmoe_option *next(struct part part, const struct fsmoe_option *at)
{
	for (; at->type != FSMOE_OPTION_END; at++)
		if (at->type != FSMOE_OPTION_HEADING && at->type != FSMOE_OPTION_U64 &&
		    at->type != FSMOE_OPTION_REFUSED && at->offset >= part.first &&
		    at->offset < part.end)
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

json_t *fsmoe_json_from_model(const struct fsmoe_model_spec *model)
{
	struct fsmoe_train_config config = {.model = *model};

	return from(&config, PART(model));
}

json_t *fsmoe_json_from_training(const struct fsmoe_train_opts *opts)
{
	struct fsmoe_train_config config = {.train = *opts};
	json_t *object = from(&config, PART(train));

	/* The option belongs to the model, but a model of the user's own has no spec. */
	json_object_set_new(object, "seq_length", json_integer(opts->seq_length));
	return object;
}

/* In a manifest, unlike in a configuration, the old key "hidden" can only be an expert's. */
static int read(const struct fsmoe_json *json, json_t *object, struct fsmoe_train_config *config)
{
	struct fsmoe_json part = {.path = json->path, .text = json->text};
	json_t *width = json_object_get(object, "hidden");
	int err = fsmoe_train_config_init(config, NULL);

	part.root = width ? json_copy(object) : json_incref(object);
	if (width)
	{
		json_object_set(part.root, "ffn_size", width);
		json_object_del(part.root, "hidden");
	}
	if (!err)
		err = fsmoe_options_json(fsmoe_train_options, &part, config);
	json_decref(part.root);
	return err;
}

int fsmoe_json_to_model(const struct fsmoe_json *json, json_t *object,
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

int fsmoe_json_to_training(const struct fsmoe_json *json, json_t *object,
			   struct fsmoe_train_opts *opts)
{
	struct fsmoe_train_config config;
	int err = read(json, object, &config);

	if (err)
		return err;
	*opts = config.train;
	opts->seq_length = config.model.seq_length;
	return 0;
}

/* --- a run -------------------------------------------------------------------------------- */

#define OPTIONS "options"

#define PLAN "plan"

json_t *fsmoe_json_from_run_options(const struct fsmoe_train_config *config)
{
	return from(config, RUN_OPTIONS);
}

int fsmoe_json_from_run(const struct fsmoe_train_config *config, const struct fsmoe_plan *plan,
			char **run)
{
	json_t *root = json_pack("{s:o}", OPTIONS, fsmoe_json_from_run_options(config));
	char *text = NULL;
	int err = plan && plan->layer ? fsmoe_plan_text(plan, &text) : 0;

	if (text)
		json_object_set_new(root, PLAN, json_loads(text, 0, NULL));
	free(text);
	*run = root && !err ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
	json_decref(root);
	return *run ? 0 : fsmoe_fail(ENOMEM, "no memory for a checkpoint's manifest");
}

int fsmoe_json_to_plan(const char *path, const char *run, struct fsmoe_plan *plan)
{
	json_t *root = run ? json_loads(run, 0, NULL) : NULL, *value = json_object_get(root, PLAN);
	int err = value ? fsmoe_plan_from_json(plan, value, path) : 0;

	json_decref(root);
	return err;
}

static const char *preset_of(const char *name)
{
	const char *known;

	for (int i = 0; name && (known = fsmoe_model_preset_name(i)); i++)
		if (!strcmp(known, name))
			return known;
	return NULL;
}

int fsmoe_json_to_run_options(const char *path, const char *run, struct fsmoe_train_config *config)
{
	json_t *root = run ? json_loads(run, 0, NULL) : NULL, *value;
	struct fsmoe_json known = {
		.root = json_object(), .path = (char *)path, .text = (char *)(run ? run : "")};
	const char *key;
	int err;

	json_object_foreach(json_object_get(root, OPTIONS), key, value)
	{
		const struct fsmoe_option *o = fsmoe_option_find(fsmoe_train_options, key);

		if (o && next(RUN_OPTIONS, o) == o)
			json_object_set(known.root, key, value);
	}
	err = fsmoe_options_json(fsmoe_train_options, &known, config);
	config->preset = preset_of(config->preset); /* a static string */
	json_decref(known.root);
	json_decref(root);
	return err;
}

/* --- comparing ---------------------------------------------------------------------------- */

static int is_free(const struct fsmoe_option *option)
{
	for (size_t i = 0; i < sizeof(may_differ) / sizeof(may_differ[0]); i++)
		if (!strcmp(option->name, may_differ[i]))
			return 1;
	return 0;
}

/* A value as on the command line; NULL is the gate's default. */
static const char *shown(const struct fsmoe_option *option, const json_t *value, char *text,
			 size_t size)
{
	char *json = NULL;

	if (option->type == FSMOE_OPTION_FLAG)
		snprintf(text, size, "%s", json_is_true(value) ? "yes" : "no");
	else if (json_is_string(value) || !value)
		snprintf(text, size, "%s", value ? json_string_value(value) : "its default");
	else if ((json = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(10))))
		snprintf(text, size, "%s", json);
	free(json);
	return text;
}

static int differ(const char *path, const struct fsmoe_option *option, const json_t *stored,
		  const json_t *here)
{
	char a[64] = "", b[64] = "", advice[160];

	shown(option, stored, a, sizeof(a));
	shown(option, here, b, sizeof(b));
	if (stored)
		snprintf(advice, sizeof(advice), "give --%s=%s", option->name, a);
	else
		snprintf(advice, sizeof(advice), "omit --%s", option->name);
	return fsmoe_fail(EINVAL,
			  "%s is of a model with %s %s, this one has %s: %s, or another checkpoint",
			  path, option->name, a, b, advice);
}

/* Replaces absent module names by those of the defaults. */
static struct fsmoe_model_spec named(const struct fsmoe_model_spec *model)
{
	const struct fsmoe_gate *gate = fsmoe_gate_find(model->gate);
	const struct fsmoe_expert *expert = fsmoe_expert_find(model->expert);
	struct fsmoe_model_spec m = *model;

	m.gate = gate ? gate->module.name : m.gate;
	m.expert = expert ? expert->module.name : m.expert;
	return m;
}

int fsmoe_model_spec_same(const char *path, const struct fsmoe_model_spec *stored,
			  const struct fsmoe_model_spec *model)
{
	struct fsmoe_train_config a = {.model = named(stored)}, b = {.model = named(model)};
	const struct part part = PART(model);
	int err = 0;

	for (const struct fsmoe_option *o = next(part, fsmoe_train_options); o && !err;
	     o = next(part, o + 1))
	{
		json_t *x = value_of(o, &a), *y = value_of(o, &b);

		if (!is_free(o) && (x || y) && !json_equal(x, y))
			err = differ(path, o, x, y);
		json_decref(x);
		json_decref(y);
	}
	return err;
}
