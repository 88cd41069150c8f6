/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/base/unit.h"

#include "base/rng.h"
#include "data/data.h"

#include <sys/stat.h>

/* A text whose byte i is a known function of i, so that a window tells where it lies. */
static unsigned char byte_at(size_t i)
{
	return (unsigned char)fsmoe_rng_bits(9, i);
}

static const char *write_text(const char *name, size_t from, size_t size)
{
	unsigned char *bytes = malloc(size + 1);
	const char *path = test_path(name);

	for (size_t i = 0; i < size; i++)
		bytes[i] = byte_at(from + i);
	test_write(path, bytes, size);
	free(bytes);
	return path;
}

/* Where in the text a window of seq tokens and targets lies, or -1. */
static long find_window(const int32_t *tokens, const int32_t *targets, int seq, size_t size)
{
	for (size_t at = 0; at + (size_t)seq < size; at += (size_t)seq + 1)
	{
		int i = 0;

		while (i < seq && tokens[i] == byte_at(at + (size_t)i) &&
		       targets[i] == byte_at(at + (size_t)i + 1))
			i++;
		if (i == seq)
			return (long)(at / ((size_t)seq + 1));
	}
	return -1;
}

static int open_text(struct fsmoe_data **data, const char *source, int vocab)
{
	return fsmoe_data_open(data, source,
			       &(struct fsmoe_data_opts){.vocab_size = vocab, .held_out = 0.1});
}

enum
{
	SIZE = 5000,
	SEQ = 15,
	TRAINED = SIZE - SIZE / 10,
	WINDOWS = TRAINED / (SEQ + 1)
};

static void an_epoch_is_every_window_once(void **state)
{
	const char *path = write_text("text", 0, SIZE);
	struct fsmoe_data *data;
	int32_t tokens[SEQ], targets[SEQ];
	int differs = 0;
	long first_epoch[WINDOWS];

	(void)state;
	assert_int_equal(open_text(&data, path, 256), 0);
	assert_int_equal(fsmoe_data_files(data), 1);
	assert_int_equal(fsmoe_data_tokens(data, FSMOE_SPLIT_TRAIN), TRAINED);
	assert_int_equal(fsmoe_data_tokens(data, FSMOE_SPLIT_HELD_OUT), SIZE / 10);
	assert_int_equal(fsmoe_data_samples(data, FSMOE_SPLIT_TRAIN, SEQ), WINDOWS);
	for (int epoch = 0; epoch < 3; epoch++)
	{
		unsigned char seen[WINDOWS] = {0};

		for (int i = 0; i < WINDOWS; i++)
		{
			long at;

			assert_int_equal(fsmoe_data_batch(data, 1, (uint64_t)(epoch * WINDOWS + i),
							  1, SEQ, tokens, targets),
					 0);
			at = find_window(tokens, targets, SEQ, TRAINED);
			assert_true(at >= 0);
			assert_int_equal(seen[at]++, 0);
			if (epoch == 0)
				first_epoch[i] = at;
			else
				differs += first_epoch[i] != at;
		}
	}
	assert_true(differs > WINDOWS);
	fsmoe_data_close(data);
	unlink(path);
}

static void a_batch_is_its_samples(void **state)
{
	const char *path = write_text("text", 0, SIZE);
	int32_t whole[2][6 * SEQ], one[2][SEQ], other[2][6 * SEQ];
	struct fsmoe_data *data;

	(void)state;
	assert_int_equal(open_text(&data, path, 256), 0);
	/* Across the end of an epoch, as any other place. */
	assert_int_equal(fsmoe_data_batch(data, 5, WINDOWS - 3, 6, SEQ, whole[0], whole[1]), 0);
	for (int i = 0; i < 6; i++)
	{
		assert_int_equal(fsmoe_data_batch(data, 5, (uint64_t)(WINDOWS - 3 + i), 1, SEQ,
						  one[0], one[1]),
				 0);
		assert_memory_equal(one[0], whole[0] + i * SEQ, sizeof(one[0]));
		assert_memory_equal(one[1], whole[1] + i * SEQ, sizeof(one[1]));
	}
	/* Another seed is another order. */
	assert_int_equal(fsmoe_data_batch(data, 6, WINDOWS - 3, 6, SEQ, other[0], other[1]), 0);
	assert_memory_not_equal(other[0], whole[0], sizeof(whole[0]));
	fsmoe_data_close(data);
	unlink(path);
}

static void held_out_windows_are_not_trained_on(void **state)
{
	const char *path = write_text("text", 0, SIZE);
	int32_t tokens[2 * SEQ], targets[2 * SEQ];
	struct fsmoe_data *data;
	size_t n;

	(void)state;
	assert_int_equal(open_text(&data, path, 256), 0);
	n = fsmoe_data_samples(data, FSMOE_SPLIT_HELD_OUT, SEQ);
	assert_int_equal(n, SIZE / 10 / (SEQ + 1));
	assert_int_equal(
		fsmoe_data_windows(data, FSMOE_SPLIT_HELD_OUT, n - 2, 2, SEQ, tokens, targets), 0);
	for (int i = 0; i < SEQ; i++)
	{
		const size_t at = TRAINED + (n - 1) * (SEQ + 1) + (size_t)i;

		assert_int_equal(tokens[SEQ + i], byte_at(at));
		assert_int_equal(targets[SEQ + i], byte_at(at + 1));
	}
	assert_fails(fsmoe_data_windows(data, FSMOE_SPLIT_HELD_OUT, n - 1, 2, SEQ, tokens, targets),
		     ENODATA, "windows");
	fsmoe_data_close(data);
	unlink(path);
}

/* Pieces of one text, some of them empty or shorter than a window, are the text again. */
static void files_are_one_text(void **state)
{
	static const size_t cut[] = {0, 1, 1, 4, 700, 701, 3000, SIZE};
	const char *directory = test_path("texts");
	char pattern[600], name[64], *path[8];
	const char *whole = write_text("text", 0, SIZE);
	static int32_t a[2][WINDOWS * SEQ], b[2][WINDOWS * SEQ];
	struct fsmoe_data *data;

	(void)state;
	assert_int_equal(mkdir(directory, 0777), 0);
	for (int i = 0; i < 7; i++)
	{
		snprintf(name, sizeof(name), "texts/%c", 'a' + i);
		path[i] = strdup(write_text(name, cut[i], cut[i + 1] - cut[i]));
	}
	/* Other files beside them are passed over: indices, copies, folders. */
	write_text("texts/a.dat", 9, 100);
	snprintf(pattern, sizeof(pattern), "%s/sub", directory);
	assert_int_equal(mkdir(pattern, 0777), 0);

	assert_int_equal(open_text(&data, whole, 256), 0);
	assert_int_equal(fsmoe_data_batch(data, 1, 0, WINDOWS, SEQ, a[0], a[1]), 0);
	fsmoe_data_close(data);
	for (int way = 0; way < 2; way++)
	{
		snprintf(pattern, sizeof(pattern), way ? "%s/[a-g]" : "%s", directory);
		assert_int_equal(open_text(&data, pattern, 256), 0);
		assert_int_equal(fsmoe_data_files(data), 6);
		assert_int_equal(fsmoe_data_tokens(data, FSMOE_SPLIT_TRAIN), TRAINED);
		assert_int_equal(fsmoe_data_batch(data, 1, 0, WINDOWS, SEQ, b[0], b[1]), 0);
		assert_memory_equal(a, b, sizeof(a));
		fsmoe_data_close(data);
	}
	for (int i = 0; i < 7; i++)
	{
		unlink(path[i]);
		free(path[i]);
	}
	unlink(test_path("texts/a.dat"));
	rmdir(test_path("texts/sub"));
	assert_int_equal(rmdir(directory), 0);
	unlink(whole);
}

static void bad_data(void **state)
{
	const char *empty = write_text("empty", 0, 0), *shorter = write_text("short", 0, SEQ);
	const char *directory = test_path("folder"), *pipe = test_path("pipe");
	int32_t tokens[SEQ], targets[SEQ];
	struct fsmoe_data *data = NULL;

	(void)state;
	assert_fails(open_text(&data, test_path("absent"), 256), ENOENT, "cannot read the data");
	assert_fails(open_text(&data, "/no/such/*.txt", 256), ENOENT, "no file matches");
	assert_fails(open_text(&data, empty, 256), ENODATA, "is empty");
	assert_int_equal(mkdir(directory, 0777), 0);
	assert_fails(open_text(&data, directory, 256), ENOENT, "DIR/*.txt");
	assert_int_equal(mkfifo(pipe, 0666), 0);
	assert_fails(open_text(&data, pipe, 256), EINVAL, "not a regular file");
	assert_fails(open_text(&data, "/dev/null", 256), EINVAL, "not a regular file");
	test_write(shorter, "ab\303", 3);
	assert_fails(open_text(&data, shorter, 128), EDOM, "token 195, byte 2 of");
	assert_null(data);

	assert_int_equal(open_text(&data, shorter, 256), 0);
	assert_int_equal(fsmoe_data_samples(data, FSMOE_SPLIT_TRAIN, SEQ), 0);
	assert_fails(fsmoe_data_batch(data, 1, 0, 1, SEQ, tokens, targets), ENODATA,
		     "the training part has 3 bytes, a sample of --seq-length=15 takes 16");
	assert_fails(fsmoe_data_windows(data, FSMOE_SPLIT_HELD_OUT, 0, 1, SEQ, tokens, targets),
		     ENODATA, "the held-out part has 0 bytes");
	fsmoe_data_close(data);
	fsmoe_data_close(NULL);
	unlink(empty);
	unlink(shorter);
	unlink(pipe);
	rmdir(directory);
}

static void unreadable_data(void **state)
{
	const char *path = write_text("secret", 0, 100), *directory = test_path("closed");
	struct fsmoe_data *data = NULL;

	(void)state;
	assert_int_equal(chmod(path, 0), 0);
	assert_int_equal(mkdir(directory, 0), 0);
	if (!test_drop_root())
		skip();
	assert_fails(open_text(&data, path, 256), EACCES, "Permission denied");
	assert_fails(open_text(&data, directory, 256), EACCES, "Permission denied");
	test_restore_root();
	unlink(path);
	rmdir(directory);
}

static void a_window_of_exactly_the_text(void **state)
{
	/* Ten bytes: nine are trained on, which is one window of eight. */
	const char *path = write_text("ten", 0, 10);
	int32_t tokens[8], targets[8];
	struct fsmoe_data *data;

	(void)state;
	assert_int_equal(open_text(&data, path, 256), 0);
	assert_int_equal(fsmoe_data_samples(data, FSMOE_SPLIT_TRAIN, 8), 1);
	assert_int_equal(fsmoe_data_samples(data, FSMOE_SPLIT_TRAIN, 9), 0);
	assert_int_equal(fsmoe_data_batch(data, 1, UINT64_MAX, 1, 8, tokens, targets), 0);
	assert_int_equal(tokens[0], byte_at(0));
	assert_int_equal(targets[7], byte_at(8));
	fsmoe_data_close(data);
	unlink(path);
}

static void all_or_nothing_held_out(void **state)
{
	const char *path = write_text("text", 0, SIZE);
	struct fsmoe_data_opts opts = {.vocab_size = 256};
	struct fsmoe_data *data;
	int32_t tokens[SEQ], targets[SEQ];

	(void)state;
	assert_int_equal(fsmoe_data_open(&data, path, &opts), 0);
	assert_int_equal(fsmoe_data_tokens(data, FSMOE_SPLIT_TRAIN), SIZE);
	assert_int_equal(fsmoe_data_tokens(data, FSMOE_SPLIT_HELD_OUT), 0);
	fsmoe_data_close(data);
	/* --val opens a text so. */
	opts.held_out = 1;
	assert_int_equal(fsmoe_data_open(&data, path, &opts), 0);
	assert_int_equal(fsmoe_data_samples(data, FSMOE_SPLIT_HELD_OUT, SEQ), SIZE / (SEQ + 1));
	assert_fails(fsmoe_data_batch(data, 1, 0, 1, SEQ, tokens, targets), ENODATA,
		     "the training part has 0 bytes");
	fsmoe_data_close(data);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_epoch_is_every_window_once),
		cmocka_unit_test(a_batch_is_its_samples),
		cmocka_unit_test(held_out_windows_are_not_trained_on),
		cmocka_unit_test(files_are_one_text),
		cmocka_unit_test(a_window_of_exactly_the_text),
		cmocka_unit_test(all_or_nothing_held_out),
		cmocka_unit_test(bad_data),
		cmocka_unit_test(unreadable_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
