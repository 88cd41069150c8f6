/* SPDX-License-Identifier: Apache-2.0 */
#include "base/option_rows.h"
#include "cli/cli.h"
#include "config/config.h"

#include "runtime/version.h"
#include "topo/version.h"

#include <cblas.h>
#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/model.h>
#include <fsmoe/module.h>
#include <fsmoe/op.h>
#include <fsmoe/schedule.h>
#include <fsmoe/topo.h>
#include <limits.h>
#include <stdlib.h>

struct info
{
	int json, ops;
	const char *machine;
	struct fsmoe_train_config train; /* only nodes and layout are used */
};

#define AT(field) offsetof(struct info, field)

const struct fsmoe_option cli_info_options[] = {
	FLAG("json", json, "Write a JSON object"),
	FLAG("ops", ops, "Show the operations: ports, shapes, kernels"),
	TEXT("machine", machine, "TEXT",
	     "Show the process groups of a machine, 'node:6 gpu:8', or of file:PATH with such a "
	     "text"),
	INT("nodes", train.nodes, 0, INT_MAX,
	    "Treat its ranks as N equal nodes; 0: as they are placed"),
	ROWS_OF(fsmoe_train_options, train, "dp tp ep esp"),
	{.type = FSMOE_OPTION_END},
};

static const char *blas_version(void)
{
#ifdef HAVE_OPENBLAS_SET_NUM_THREADS
	return openblas_get_config();
#else
	return "CBLAS";
#endif
}

/* {"name": "doc", ...}, in the order of the modules: the default comes first. */
static json_t *module_object(enum fsmoe_module_kind kind)
{
	struct fsmoe_module_info *infos;
	json_t *object = json_object();
	int n = 0;

	fsmoe_module_list(kind, NULL, &n);
	infos = calloc((size_t)n + 1, sizeof(*infos));
	if (infos && !fsmoe_module_list(kind, infos, &n))
		for (int i = 0; i < n; i++)
			json_object_set_new(object, infos[i].name, json_string(infos[i].doc));
	free(infos);
	return object;
}

static json_t *group_objects(fsmoe_groups_t groups)
{
	json_t *object = json_object();

	for (int kind = 0; kind < FSMOE_NGROUPS; kind++)
		json_object_set_new(object, fsmoe_group_name(kind),
				    json_pack("{s:i, s:b}", "size", fsmoe_group_size(groups, kind),
					      "spans_nodes",
					      fsmoe_group_spans_nodes(groups, kind)));
	return object;
}

/* Returns the described machine as an object; NULL with a sentence when it is wrong. */
static json_t *machine_object(const struct info *info)
{
	fsmoe_topo_t topo = NULL;
	fsmoe_groups_t groups = NULL;
	json_t *object = NULL;

	if (!fsmoe_topo_create(&topo, info->machine, info->train.nodes) &&
	    !fsmoe_groups_create(&groups, topo, &info->train.layout))
		object = json_pack("{s:i, s:i, s:o}", "ranks", fsmoe_topo_ranks(topo), "nodes",
				   fsmoe_topo_nodes(topo), "groups", group_objects(groups));
	if (groups)
		fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
	return object;
}

/* Collects what is printed as text or as JSON. */
static json_t *collect(void)
{
	json_t *modules = json_object(), *presets = json_object(), *schedules = json_object();
	const struct fsmoe_schedule *row;

	for (int kind = 0; kind < FSMOE_NMODULES; kind++)
		json_object_set_new(modules, fsmoe_module_kind_name(kind), module_object(kind));
	for (int i = 0; fsmoe_model_preset_name(i); i++)
		json_object_set_new(presets, fsmoe_model_preset_name(i),
				    json_string(fsmoe_model_preset_doc(i)));
	for (int i = 0; (row = fsmoe_schedule_at(i)); i++)
		json_object_set_new(schedules, row->name, json_string(row->doc));
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "version", PACKAGE_VERSION,
			 "starpu", fsmoe_starpu_version(), "mpi", fsmoe_mpi_version(), "blas",
			 blas_version(), "modules", modules, "schedules", schedules, "presets",
			 presets);
}

static void print_machine(const json_t *machine)
{
	const char *name;
	json_t *group;

	printf("%d ranks on %d nodes\n", (int)json_integer_value(json_object_get(machine, "ranks")),
	       (int)json_integer_value(json_object_get(machine, "nodes")));
	json_object_foreach(json_object_get(machine, "groups"), name, group) printf(
		"  %-7s %5d%s\n", name, (int)json_integer_value(json_object_get(group, "size")),
		json_is_true(json_object_get(group, "spans_nodes")) ? "  spans nodes" : "");
}

static const char *port_mode(const struct fsmoe_port *port)
{
	static const char *const names[] = {"-", "read", "write", "add"};

	return port->flags & FSMOE_SCRATCH ? "scratch" : names[port->mode & FSMOE_RW];
}

/* The element type of a port; in a bf16 run a parameter's copy in bf16 stands for the parameter. */
static const char *port_type(const struct fsmoe_port *port)
{
	static const struct
	{
		int flag;
		const char *name;
	} types[] = {{FSMOE_INTS, "int32"},
		     {FSMOE_ANY_TYPE, "any"},
		     {FSMOE_FLOAT, "float"},
		     {FSMOE_EITHER, "run or float"},
		     {FSMOE_WEIGHT, "weight"}};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (port->flags & types[i].flag)
			return types[i].name;
	return "run";
}

static json_t *port_array(const struct fsmoe_op *op)
{
	json_t *ports = json_array();

	for (int p = 0; p < op->nports; p++)
		json_array_append_new(ports,
				      json_pack("{s:s, s:s, s:s, s:s, s:b, s:b}", "name",
						op->ports[p].name, "mode", port_mode(&op->ports[p]),
						"shape", op->ports[p].shape, "type",
						port_type(&op->ports[p]), "optional",
						op->ports[p].flags & FSMOE_OPTIONAL, "many",
						op->ports[p].flags & FSMOE_MANY));
	return ports;
}

static json_t *collect_ops(void)
{
	json_t *all = json_array();
	const struct fsmoe_op *op;

	for (int i = 0; (op = fsmoe_op_at(i)); i++)
		json_array_append_new(all,
				      json_pack("{s:s, s:s, s:o, s:b, s:b, s:b}", "name", op->name,
						"doc", op->doc, "ports", port_array(op), "cpu",
						op->cpu[FSMOE_F32] != NULL, "cuda",
						op->cuda != NULL, "gradient", op->grad != NULL));
	return all;
}

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static int is_set(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

static void print_ops(const json_t *all)
{
	json_t *op, *port;
	size_t i, p;

	json_array_foreach(all, i, op)
	{
		printf("%s: %s\n  kernels:%s%s; %s\n", text_of(op, "name"), text_of(op, "doc"),
		       is_set(op, "cpu") ? " CPU" : "", is_set(op, "cuda") ? " CUDA" : "",
		       is_set(op, "gradient") ? "gradient" : "no gradient");
		json_array_foreach(json_object_get(op, "ports"), p, port)
			printf("  %-10s %-8s %-12s %-12s%s%s\n", text_of(port, "name"),
			       text_of(port, "mode"), text_of(port, "shape"), text_of(port, "type"),
			       is_set(port, "optional") ? " optional" : "",
			       is_set(port, "many") ? " many" : "");
	}
}

static void print_names(const char *title, json_t *names)
{
	const char *name;
	json_t *doc;

	printf("%s\n", title);
	json_object_foreach(names, name, doc) printf("  %-14s %s\n", name, json_string_value(doc));
}

static void print_text(const json_t *all)
{
	static const struct
	{
		const char *key, *title;
	} lines[] = {{"starpu", "StarPU"}, {"mpi", "MPI"}, {"blas", "BLAS"}};
	const char *kind;
	json_t *modules;

	printf("fsmoe %s\n", json_string_value(json_object_get(all, "version")));
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		printf("  %-8s %s\n", lines[i].title,
		       json_string_value(json_object_get(all, lines[i].key)));
	json_object_foreach(json_object_get(all, "modules"), kind, modules)
		print_names(kind, modules);
	print_names("schedule", json_object_get(all, "schedules"));
	print_names("preset", json_object_get(all, "presets"));
}

int cli_info(int argc, char **argv)
{
	struct info info = {0};
	json_t *shown;
	int err = fsmoe_options_parse(cli_info_options, argc, argv, &info);

	if (err == FSMOE_OPTIONS_HELP)
		return cli_show_help(argv[0]);
	if (err)
		return cli_fail(FSMOE_EXIT_USAGE, err);
	if (info.ops)
		shown = collect_ops();
	else
		shown = info.machine ? machine_object(&info) : collect();
	if (!shown)
		return cli_fail(FSMOE_EXIT_LAYOUT, 0);
	if (cli_launch_rank() == 0)
	{
		if (info.json)
		{
			json_dumpf(shown, stdout, JSON_INDENT(2));
			putchar('\n');
		}
		else if (info.ops)
			print_ops(shown);
		else if (info.machine)
			print_machine(shown);
		else
			print_text(shown);
	}
	json_decref(shown);
	return FSMOE_EXIT_OK;
}
