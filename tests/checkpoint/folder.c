/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints of one process without StarPU: what is read is what was written; what is damaged or
 * of another model is refused with a sentence, and the memory stays as it was.
 */
#include "model.h"

#include "base/file.h"

#include <sys/stat.h>

/* --- what works --------------------------------------------------------------------------- */

static void round_trip(void **state)
{
	static const char *const presets[] = {NULL, "tiny"};
	static const char *const optimizers[] = {"adamw", "sgd"};

	(void)state;
	for (int i = 0; i < 4; i++)
	{
		const char *dir = test_path("round");
		struct fsmoe_checkpoint_info info;
		struct model m;

		make(&m, presets[i / 2], optimizers[i % 2]);
		m.info.train.seed = 77;
		assert_int_equal(save(&m, dir, 12, 0), 0);
		assert_int_equal(access(in(dir, "step-000012/optimizer.safetensors"), F_OK),
				 i % 2 ? -1 : 0);
		fill(&m, 1);
		assert_int_equal(load(&m, dir, &info), 0);
		assert_holds(&m, 12);
		assert_int_equal(info.step, 12);
		assert_int_equal(info.samples, 96);
		assert_int_equal(info.train.seed, 77);
		assert_string_equal(info.train.optimizer, optimizers[i % 2]);
		fill(&m, 1);
		assert_int_equal(load(&m, in(dir, "step-000012"), &info), 0);
		assert_holds(&m, 12);
		assert_int_equal(fsmoe_checkpoint_read_info(dir, &info), 0);
		assert_int_equal(info.has_model, presets[i / 2] != NULL);
		assert_int_equal(entries(dir), 2);
		assert_int_equal(entries(in(dir, "step-000012")), i % 2 ? 2 : 3);
		drop(&m);
		remove_tree(dir);
	}
}

static void the_newest_are_kept(void **state)
{
	const char *dir = test_path("keep");
	struct fsmoe_checkpoint_info info;
	struct model m;

	(void)state;
	make(&m, NULL, "adamw");
	for (uint64_t step = 1; step <= 5; step++)
		assert_int_equal(save(&m, dir, step * 10, 2), 0);
	assert_int_equal(entries(dir), 3);
	assert_int_equal(load(&m, in(dir, "step-000040"), &info), 0);
	/* One step twice, as after going back, and an older one: each is the newest when saved. */
	assert_int_equal(save(&m, dir, 40, 2), 0);
	assert_int_equal(save(&m, dir, 7, 2), 0);
	assert_int_equal(entries(dir), 3);
	assert_int_equal(load(&m, dir, &info), 0);
	assert_int_equal(info.step, 7);
	assert_int_equal(load(&m, in(dir, "step-000040"), &info), 0);
	assert_int_equal(load(&m, in(dir, "step-000050"), &info), -ENOENT);
	/* Other folders are nobody's to remove. */
	assert_int_equal(mkdir(in(dir, "step-000001-mine"), 0777), 0);
	assert_int_equal(save(&m, dir, 8, 1), 0);
	assert_int_equal(entries(dir), 3);
	drop(&m);
	remove_tree(dir);
}

static void weights_alone(void **state)
{
	const char *dir = test_path("weights");
	struct fsmoe_checkpoint_info info;
	struct model m, other;

	(void)state;
	make(&m, "tiny", "adamw");
	make(&other, "tiny", "sgd");
	assert_int_equal(save(&m, dir, 3, 0), 0);
	unlink(in(dir, "step-000003/optimizer.safetensors"));
	assert_int_equal(fsmoe_checkpoint_load_weights(dir, other.step.graph, other.memory, NULL,
						       NULL, &info),
			 0);
	assert_holds(&other, 3);
	assert_int_equal(info.model.experts, m.info.model.experts);
	drop(&m);
	drop(&other);
	remove_tree(dir);
}

/* --- what is refused ---------------------------------------------------------------------- */

static void other_models(void **state)
{
	const char *dir = test_path("other");
	struct fsmoe_checkpoint_info info;
	struct fsmoe_model_spec spec;
	struct model tiny, small, sgd;
	char *text;
	FILE *file;

	(void)state;
	make(&tiny, "tiny", "adamw");
	make(&small, NULL, "adamw");
	make(&sgd, "tiny", "sgd");
	assert_int_equal(save(&tiny, dir, 5, 0), 0);
	fill(&small, 1);
	assert_fails(load(&small, dir, &info), EINVAL, "'table' is absent there and (8, 2) here");
	assert_holds(&small, 1);
	assert_int_equal(fsmoe_model_spec_init(&spec, "tiny"), 0);
	spec.top_k = 1;
	assert_fails(fsmoe_checkpoint_load_weights(dir, tiny.step.graph, tiny.memory, NULL, &spec,
						   &info),
		     EINVAL, "of a model with top-k 2, this one has 1: give --top-k=2");
	file = fopen(in(dir, "list"), "w");
	assert_true(fsmoe_checkpoint_compare(dir, small.step.graph, file) > 20);
	assert_int_equal(fsmoe_checkpoint_compare(dir, tiny.step.graph, NULL), 0);
	fclose(file);
	assert_int_equal(fsmoe_file_read(in(dir, "list"), &text, NULL), 0);
	assert_non_null(strstr(text, "! table "));
	assert_non_null(strstr(text, "! h.1.self_attn.q_proj.weight"));
	assert_non_null(strstr(text, "! h.0.block_sparse_moe.experts.3.w2.bias"));
	free(text);
	assert_int_equal(save(&sgd, dir, 6, 0), 0);
	assert_fails(load(&tiny, dir, &info), EINVAL, "an optimizer without moments");
	drop(&tiny);
	drop(&small);
	drop(&sgd);
	remove_tree(dir);
}

static void no_checkpoint(void **state)
{
	const char *dir = test_path("none");
	struct fsmoe_checkpoint_info info;
	struct model m;

	(void)state;
	make(&m, NULL, "adamw");
	assert_fails(load(&m, dir, &info), ENOENT, "there is no checkpoint in");
	assert_int_equal(save(&m, dir, 1, 0), 0);
	test_write(in(dir, "latest"), "step-000002\n", 12);
	assert_fails(load(&m, dir, &info), EPROTO, "names step-000002, which is not there");
	test_write(in(dir, "latest"), "../x\n", 5);
	assert_fails(load(&m, dir, &info), EPROTO, "latest is damaged");
	test_write(in(dir, "latest"), "step-000001", 11);
	assert_fails(load(&m, dir, &info), EPROTO, "latest is damaged");
	test_write(in(dir, "latest"), "", 0);
	assert_fails(load(&m, dir, &info), EPROTO, "latest is damaged");
	/* Without it, the newest. */
	unlink(in(dir, "latest"));
	assert_int_equal(load(&m, dir, &info), 0);
	unlink(in(dir, "step-000001/optimizer.safetensors"));
	assert_fails(load(&m, dir, &info), EPROTO, "optimizer.safetensors is missing");
	unlink(in(dir, "step-000001/manifest.json"));
	assert_fails(load(&m, dir, &info), ENOENT, "there is no checkpoint in");
	drop(&m);
	remove_tree(dir);
}

static const char *const files[] = {"manifest.json", "model.safetensors", "optimizer.safetensors"};

/* A file of a good checkpoint with one change; loading is refused with a sentence and changes
 * nothing. */
static void assert_refused(struct model *m, const char *folder, const char *file,
			   const char *content, size_t size)
{
	struct fsmoe_checkpoint_info info;
	int err;

	test_write(in(folder, file), content, size);
	err = load(m, folder, &info);
	if (err != -EPROTO && err != -EINVAL)
		fail_msg("%s: %d", file, err);
	assert_true(strlen(fsmoe_last_error()) > 20);
}

static void every_byte_counts(void **state)
{
	const char *dir = test_path("bytes"), *folder = test_path("bytes/step-000001");
	struct fsmoe_checkpoint_info info;
	struct model m;

	(void)state;
	make(&m, NULL, "adamw");
	assert_int_equal(save(&m, dir, 1, 0), 0);
	fill(&m, 2);
	for (int f = 0; f < 3; f++)
	{
		char *content;
		size_t size;

		assert_int_equal(fsmoe_file_read(in(folder, files[f]), &content, &size), 0);
		for (size_t i = 0; i < size; i++)
		{
			const char bit = (char)(1 << fsmoe_rng_bits(8, i) % 8);

			content[i] ^= bit;
			assert_refused(&m, folder, files[f], content, size);
			content[i] ^= bit;
		}
		for (size_t i = 0; i < size; i += 7)
			assert_refused(&m, folder, files[f], content, i);
		test_write(in(folder, files[f]), content, size);
		free(content);
	}
	assert_holds(&m, 2);
	assert_int_equal(load(&m, dir, &info), 0);
	assert_holds(&m, 1);
	drop(&m);
	remove_tree(dir);
}

static void a_thousand_accidents(void **state)
{
	const char *dir = test_path("accidents"), *folder = test_path("accidents/step-000002");
	struct fsmoe_checkpoint_info info;
	struct model m;
	char *content[3];
	size_t size[3];

	(void)state;
	make(&m, "tiny", "adamw");
	assert_int_equal(save(&m, dir, 1, 0), 0);
	assert_int_equal(save(&m, dir, 2, 0), 0);
	fill(&m, 3);
	for (int f = 0; f < 3; f++)
		assert_int_equal(fsmoe_file_read(in(folder, files[f]), &content[f], &size[f]), 0);
	for (uint64_t i = 0; i < 1000; i++)
	{
		const int f = (int)(i % 3);
		const uint64_t at = fsmoe_rng_bits(9, i) % size[f];
		const char bit = (char)(1 << (fsmoe_rng_bits(10, i) % 8));

		content[f][at] ^= bit;
		assert_refused(&m, folder, files[f], content[f],
			       fsmoe_rng_bits(11, i) % 4 ? size[f] : (size_t)at);
		content[f][at] ^= bit;
		test_write(in(folder, files[f]), content[f], size[f]);
	}
	assert_holds(&m, 3);
	assert_int_equal(load(&m, in(dir, "step-000001"), &info), 0);
	assert_holds(&m, 1);
	for (int f = 0; f < 3; f++)
		free(content[f]);
	drop(&m);
	remove_tree(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),           cmocka_unit_test(the_newest_are_kept),
		cmocka_unit_test(weights_alone),        cmocka_unit_test(other_models),
		cmocka_unit_test(no_checkpoint),        cmocka_unit_test(every_byte_counts),
		cmocka_unit_test(a_thousand_accidents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
