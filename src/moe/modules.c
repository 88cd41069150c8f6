/* SPDX-License-Identifier: Apache-2.0 */
#include "moe/modules.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdio.h>
#include <string.h>

#define GATE(name)     &fsmoe_gate_module_##name.module,
#define ORDER(name)    &fsmoe_order_module_##name.module,
#define DISPATCH(name) &fsmoe_dispatch_module_##name.module,
#define EXPERT(name)   &fsmoe_expert_module_##name.module,
static const struct fsmoe_module *const gates[] = {FSMOE_GATE_MODULES(GATE)};
static const struct fsmoe_module *const orders[] = {FSMOE_ORDER_MODULES(ORDER)};
static const struct fsmoe_module *const dispatches[] = {FSMOE_DISPATCH_MODULES(DISPATCH)};
static const struct fsmoe_module *const experts[] = {FSMOE_EXPERT_MODULES(EXPERT)};

enum
{
	OUTSIDERS = 64 /* registered modules of one kind */
};

static struct kind
{
	const char *name;
	const struct fsmoe_module *const *builtin;
	int nbuiltin;
	const struct fsmoe_module *outsider[OUTSIDERS];
	int noutsiders;
} kinds[FSMOE_NMODULES] = {
#define KIND(name, list)                                                                           \
	{                                                                                          \
		name, list, (int)(sizeof(list) / sizeof((list)[0])), {NULL}, 0                     \
	}
	[FSMOE_MODULE_GATE] = KIND("gate", gates),
	[FSMOE_MODULE_ORDER] = KIND("order", orders),
	[FSMOE_MODULE_DISPATCH] = KIND("dispatch", dispatches),
	[FSMOE_MODULE_EXPERT] = KIND("expert", experts),
};

static int count(const struct kind *k)
{
	return k->nbuiltin + k->noutsiders;
}

static const struct fsmoe_module *at(const struct kind *k, int i)
{
	return i < k->nbuiltin ? k->builtin[i] : k->outsider[i - k->nbuiltin];
}

const char *fsmoe_module_kind_name(enum fsmoe_module_kind kind)
{
	return kinds[kind].name;
}

int fsmoe_module_list(enum fsmoe_module_kind kind, struct fsmoe_module_info *infos, int *n)
{
	const struct kind *k;
	int room = *n;

	if ((int)kind < 0 || kind >= FSMOE_NMODULES)
		return fsmoe_fail(EINVAL, "there is no kind %d of modules: kinds are 0 to %d",
				  (int)kind, FSMOE_NMODULES - 1);
	k = &kinds[kind];
	for (int i = 0; i < room && i < count(k); i++)
		infos[i] = (struct fsmoe_module_info){at(k, i)->name, at(k, i)->doc};
	*n = count(k);
	return 0;
}

/* Names of fsmoe 0.1.0, which its command lines, configurations and checkpoints hold. */
static const char *current_name(const struct kind *k, const char *name)
{
	static const char *const renamed[][2] = {{"gpt", "mlp"}, {"mixtral", "swiglu"}};

	for (size_t i = 0; k == &kinds[FSMOE_MODULE_EXPERT] && i < 2; i++)
		if (!strcmp(renamed[i][0], name))
			return renamed[i][1];
	return name;
}

static const struct fsmoe_module *lookup(const struct kind *k, const char *name)
{
	name = current_name(k, name);
	for (int i = 0; i < count(k); i++)
		if (!strcmp(at(k, i)->name, name))
			return at(k, i);
	return NULL;
}

static const struct fsmoe_module *find(enum fsmoe_module_kind kind, const char *name)
{
	const struct kind *k = &kinds[kind];
	const struct fsmoe_module *module = name ? lookup(k, name) : at(k, 0);
	char names[400] = "";

	if (module)
		return module;
	for (int i = 0; i < count(k); i++)
	{
		size_t used = strlen(names);
		snprintf(names + used, sizeof(names) - used, "%s%s", i ? ", " : "", at(k, i)->name);
	}
	fsmoe_fail(ENOENT, "there is no %s '%s'; there is: %s", k->name, name, names);
	return NULL;
}

static int add(enum fsmoe_module_kind kind, const struct fsmoe_module *module)
{
	struct kind *k = &kinds[kind];

	if (!module->name || !*module->name || !module->doc)
		return fsmoe_fail(EINVAL, "a %s to register needs a name and a line of doc",
				  k->name);
	if (module->abi != FSMOE_MODULE_ABI)
		return fsmoe_fail(
			EINVAL,
			"%s '%s' is made for interface %d of modules, this library has %d: "
			"compile it again",
			k->name, module->name, module->abi, FSMOE_MODULE_ABI);
	if (lookup(k, module->name))
		return fsmoe_fail(EEXIST, "there is a %s '%s' already: choose another name",
				  k->name, module->name);
	if (k->noutsiders == OUTSIDERS)
		return fsmoe_fail(ENOSPC, "%s '%s' is one too many: %d may be registered", k->name,
				  module->name, OUTSIDERS);
	k->outsider[k->noutsiders++] = module;
	return 0;
}

/* A module is the first member of its struct, so its address is the struct's. */
const struct fsmoe_gate *fsmoe_gate_find(const char *name)
{
	return (const struct fsmoe_gate *)find(FSMOE_MODULE_GATE, name);
}

const struct fsmoe_order *fsmoe_order_find(const char *name)
{
	return (const struct fsmoe_order *)find(FSMOE_MODULE_ORDER, name);
}

const struct fsmoe_order *fsmoe_order_for(enum fsmoe_routing_kind kind)
{
	const struct kind *k = &kinds[FSMOE_MODULE_ORDER];

	for (int i = 0; i < count(k); i++)
	{
		const struct fsmoe_order *order = (const struct fsmoe_order *)at(k, i);
		if (order->routings & 1u << kind)
			return order;
	}
	fsmoe_fail(ENOENT, "no order reads routings of kind %d", (int)kind);
	return NULL;
}

const struct fsmoe_dispatch *fsmoe_dispatch_find(const char *name)
{
	return (const struct fsmoe_dispatch *)find(FSMOE_MODULE_DISPATCH, name);
}

const struct fsmoe_expert *fsmoe_expert_find(const char *name)
{
	return (const struct fsmoe_expert *)find(FSMOE_MODULE_EXPERT, name);
}

int fsmoe_gate_register(const struct fsmoe_gate *gate)
{
	return add(FSMOE_MODULE_GATE, &gate->module);
}

int fsmoe_order_register(const struct fsmoe_order *order)
{
	return add(FSMOE_MODULE_ORDER, &order->module);
}

int fsmoe_dispatch_register(const struct fsmoe_dispatch *dispatch)
{
	return add(FSMOE_MODULE_DISPATCH, &dispatch->module);
}

int fsmoe_expert_register(const struct fsmoe_expert *expert)
{
	return add(FSMOE_MODULE_EXPERT, &expert->module);
}
