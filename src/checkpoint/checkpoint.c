/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/checkpoint.h"
#include "codelets/shape.h"
#include "topo/topo.h"
#include "train/trainer.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

void fsmoe_checkpoint_info_init(struct fsmoe_checkpoint_info *info)
{
	*info = (struct fsmoe_checkpoint_info){.size = sizeof(*info)};
	fsmoe_train_opts_init(&info->train);
}

void fsmoe_checkpoint_info_free(struct fsmoe_checkpoint_info *info)
{
	free(info->run);
	info->run = NULL;
}

static struct fsmoe_checkpoint_target target_of(fsmoe_trainer_t trainer)
{
	return (struct fsmoe_checkpoint_target){
		.graph = fsmoe_trainer_graph(trainer),
		.memory = fsmoe_trainer_memory(trainer),
		.program = fsmoe_trainer_program(trainer),
		.comms = fsmoe_runtime_comms(fsmoe_trainer_runtime(trainer)),
	};
}

int fsmoe_checkpoint_save(const char *dir, fsmoe_trainer_t trainer,
			  const struct fsmoe_checkpoint_info *info, int keep)
{
	const struct fsmoe_checkpoint_target target = target_of(trainer);
	fsmoe_groups_t groups = fsmoe_runtime_groups(fsmoe_trainer_runtime(trainer));
	struct fsmoe_checkpoint_info all = *info;

	all.step = fsmoe_trainer_steps(trainer);
	all.train = *fsmoe_trainer_opts(trainer);
	all.ranks = fsmoe_group_size(groups, FSMOE_GROUP_WORLD);
	all.layout = fsmoe_groups_layout(groups);
	return fsmoe_checkpoint_write(dir, &target, &all, keep);
}

static void give_info(struct fsmoe_checkpoint_info *read, struct fsmoe_checkpoint_info *info)
{
	if (info)
		*info = *read;
	else
		fsmoe_checkpoint_info_free(read);
}

int fsmoe_checkpoint_load(const char *path, fsmoe_trainer_t trainer,
			  const struct fsmoe_model_spec *model, struct fsmoe_checkpoint_info *info)
{
	const struct fsmoe_checkpoint_target target = target_of(trainer);
	struct fsmoe_checkpoint_info read;
	int err = fsmoe_checkpoint_read(path, &target, FSMOE_CHECKPOINT_KINDS, model, &read);

	if (err)
		return err;
	fsmoe_trainer_restore(trainer, read.step, read.train.seed);
	give_info(&read, info);
	return 0;
}

int fsmoe_checkpoint_load_weights(const char *path, fsmoe_graph_t graph, fsmoe_memory_t memory,
				  fsmoe_comms_t comms, const struct fsmoe_model_spec *model,
				  struct fsmoe_checkpoint_info *info)
{
	const struct fsmoe_checkpoint_target target = {graph, memory, NULL, comms};
	struct fsmoe_checkpoint_info read;
	int err = fsmoe_checkpoint_read(path, &target, 1, model, &read);

	if (!err)
		give_info(&read, info);
	return err;
}

static int find_manifest(const char *path, struct fsmoe_manifest *manifest)
{
	char folder[PATH_MAX];
	int err = fsmoe_checkpoint_folder_find(path, folder, PATH_MAX);

	return err ? err : fsmoe_manifest_open(manifest, folder);
}

int fsmoe_checkpoint_read_info(const char *path, struct fsmoe_checkpoint_info *info)
{
	struct fsmoe_manifest manifest;
	int err = find_manifest(path, &manifest);

	if (err)
		return err;
	*info = manifest.info;
	manifest.info.run = NULL; /* the caller's now */
	fsmoe_manifest_free(&manifest);
	return 0;
}

/* --- two lists ---------------------------------------------------------------------------- */

static int find_here(const struct fsmoe_checkpoint_map *map, const char *name)
{
	for (int i = 0; i < map->n; i++)
		if (!strcmp(map->stored[i].name, name))
			return i;
	return -1;
}

/* Prints a line about a tensor, marked if the two shapes (NULL: absent) differ; returns 1 then. */
static int print_line(FILE *out, const char *name, const struct fsmoe_shape *here,
		      const struct fsmoe_shape *there)
{
	const int differ = !here || !there || !fsmoe_shape_equal(here, there);
	char a[FSMOE_SHAPE_TEXT], b[FSMOE_SHAPE_TEXT];

	if (out)
		fprintf(out, "%s %-48s %-20s %s\n", differ ? "!" : " ", name,
			here ? fsmoe_shape_text(a, here) : "absent",
			there ? fsmoe_shape_text(b, there) : "absent");
	return differ;
}

static int print_both(const struct fsmoe_checkpoint_map *map, const struct fsmoe_manifest *m,
		      FILE *out)
{
	struct fsmoe_manifest_tensor t;
	const char *name;
	json_t *value;
	int n = 0;

	if (out)
		fprintf(out, "  %-48s %-20s %s\n", "tensor", "here", "checkpoint");
	for (int i = 0; i < map->n; i++)
	{
		const struct fsmoe_stored *s = &map->stored[i];
		const int absent = fsmoe_manifest_find_tensor(m, s->name, &t) != 0;

		n += print_line(out, s->name, &s->shape, absent ? NULL : &t.shape);
	}
	json_object_foreach(
		json_object_get(m->json.root, "tensors"), name,
		value) if (!fsmoe_manifest_find_tensor(m, name, &t) && find_here(map, name) < 0 &&
			   !strcmp(t.file, fsmoe_checkpoint_file_names[FSMOE_CHECKPOINT_MODEL]))
		n += print_line(out, name, NULL, &t.shape);
	return n;
}

int fsmoe_checkpoint_compare(const char *path, fsmoe_graph_t graph, FILE *out)
{
	struct fsmoe_checkpoint_map map = {0};
	struct fsmoe_manifest manifest = {0};
	int err = find_manifest(path, &manifest);

	if (!err)
		err = fsmoe_checkpoint_map_list(&map, graph, 1);
	if (!err)
		err = print_both(&map, &manifest, out);
	fsmoe_manifest_free(&manifest);
	fsmoe_checkpoint_map_free(&map);
	return err;
}
