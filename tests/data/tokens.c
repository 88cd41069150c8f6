/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/base/unit.h"

#include "base/file.h"
#include "base/rng.h"
#include "data/checksum.h"
#include "data/data.h"

enum
{
	N = 3000,
	SEQ = 7,
	HEADER = 1024
};

static int open_tokens(struct fsmoe_data **data, const char *path, int vocab)
{
	return fsmoe_data_open(data, path,
			       &(struct fsmoe_data_opts){.vocab_size = vocab, .held_out = 0.25});
}

static uint32_t token(size_t i, uint32_t below)
{
	return (uint32_t)(fsmoe_rng_bits(4, i) % below);
}

/* n tokens of `width` bytes after `header` bytes; little-endian. */
static size_t encode(unsigned char *bytes, size_t header, size_t n, size_t width, uint32_t below)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < width; k++)
			bytes[header + i * width + k] = (unsigned char)(token(i, below) >> 8 * k);
	return header + n * width;
}

static void put_word(unsigned char *bytes, size_t i, uint32_t word)
{
	for (size_t k = 0; k < 4; k++)
		bytes[4 * i + k] = (unsigned char)(word >> 8 * k);
}

static const char *write_llmc(const char *name, uint32_t magic, uint32_t version, uint32_t n,
			      size_t width, uint32_t below)
{
	static unsigned char bytes[HEADER + 4 * N];
	const char *path = test_path(name);

	memset(bytes, 0, sizeof(bytes));
	put_word(bytes, 0, magic);
	put_word(bytes, 1, version);
	put_word(bytes, 2, n);
	test_write(path, bytes, encode(bytes, HEADER, N, width, below));
	return path;
}

static const char *write_plain(const char *name, size_t n, uint32_t below)
{
	static unsigned char bytes[2 * N];
	const char *path = test_path(name);

	test_write(path, bytes, encode(bytes, 0, n, 2, below));
	return path;
}

/* Every window of both parts, against the tokens that were written. */
static void expect_tokens(const char *path, uint32_t below)
{
	int32_t tokens[SEQ], targets[SEQ];
	struct fsmoe_data *data;

	assert_int_equal(open_tokens(&data, path, (int)below), 0);
	assert_string_equal(fsmoe_data_unit(data), "tokens");
	assert_int_equal(fsmoe_data_tokens(data, FSMOE_SPLIT_TRAIN), N - N / 4);
	for (int split = 0; split < FSMOE_NSPLITS; split++)
	{
		size_t first = split == FSMOE_SPLIT_TRAIN ? 0 : N - N / 4;

		for (size_t w = 0; w < fsmoe_data_samples(data, split, SEQ); w++)
		{
			assert_int_equal(
				fsmoe_data_windows(data, split, w, 1, SEQ, tokens, targets), 0);
			for (size_t i = 0; i < SEQ; i++)
			{
				size_t at = first + w * (SEQ + 1) + i;

				assert_int_equal(tokens[i], token(at, below));
				assert_int_equal(targets[i], token(at + 1, below));
			}
		}
	}
	fsmoe_data_close(data);
	unlink(path);
}

static void nanogpt_and_llmc_as_they_are(void **state)
{
	(void)state;
	expect_tokens(write_plain("gpt2.bin", N, 50257), 50257);
	expect_tokens(write_llmc("llmc.bin", 20240520, 1, N, 2, 50257), 50257);
	expect_tokens(write_llmc("llama.bin", 20240801, 7, N, 4, 128256), 128256);
}

static void damaged_headers(void **state)
{
	struct fsmoe_data *data = NULL;
	const char *path = write_llmc("version.bin", 20240520, 2, N, 2, 100);

	(void)state;
	assert_fails(open_tokens(&data, path, 100), EPROTO, "has version 2");
	path = write_llmc("long.bin", 20240520, 1, N + 1, 2, 100);
	assert_fails(open_tokens(&data, path, 100), EPROTO, "its header says 3001 tokens");
	path = write_llmc("huge.bin", 20240801, 7, UINT32_MAX, 4, 100);
	assert_fails(open_tokens(&data, path, 100), EPROTO, "cut short or is damaged");
	assert_int_equal(truncate(path, 900), 0);
	assert_fails(open_tokens(&data, path, 100), EPROTO, "ends before byte 1024");
	path = write_plain("odd.bin", N, 100);
	assert_int_equal(truncate(path, 5), 0);
	assert_fails(open_tokens(&data, path, 100), EPROTO, "no whole number of uint16");
	assert_null(data);
}

/* Any bit of the header flipped, any length: refused with a sentence. Tokens have no checksum in
 * either format: without one beside the file, a flipped one is found only where it leaves the
 * vocabulary, as below. */
static void flips_and_truncations_of_the_header(void **state)
{
	static unsigned char good[HEADER + 2 * N];
	const char *path = test_path("flip.bin");

	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
	{
		struct fsmoe_data *data = NULL;
		size_t size, bit = fsmoe_rng_bits(7, i) % 96;
		int err;

		memset(good, 0, sizeof(good));
		put_word(good, 0, 20240520);
		put_word(good, 1, 1);
		put_word(good, 2, N);
		size = encode(good, HEADER, N, 2, 1000);
		if (i % 2)
			size = fsmoe_rng_bits(8, i) % size;
		else
			good[bit / 8] ^= (unsigned char)(1 << bit % 8);
		test_write(path, good, size);
		err = fsmoe_data_open(
			&data, path,
			&(struct fsmoe_data_opts){.vocab_size = 1000, .format = FSMOE_DATA_LLMC});
		assert_true(err == -EPROTO || err == -ENODATA);
		assert_true(strlen(fsmoe_last_error()) > 20);
		assert_null(data);
	}
	unlink(path);
}

/* --- a checksum beside the file ----------------------------------------------------------- */

static const struct format
{
	const char *name;
	uint32_t magic, version;
	size_t width;
	int vocab; /* any token is in it: only the checksum can tell */
} formats[] = {
	{"sum", 0, 0, 1, 256},
	{"sum.bin", 0, 0, 2, 65536},
	{"sum-llmc.bin", 20240520, 1, 2, 65536},
	{"sum-llama.bin", 20240801, 7, 4, INT32_MAX},
};

/* Returns the size. */
static size_t write_format(const struct format *f, const char *path)
{
	static unsigned char bytes[HEADER + 4 * N];

	if (f->magic)
		write_llmc(f->name, f->magic, f->version, N, f->width, 50000);
	else
		test_write(path, bytes, encode(bytes, 0, N, f->width, 250));
	return f->magic ? HEADER + N * f->width : N * f->width;
}

/* Accident i: a flipped bit or a cut, in turn. */
static void harm(char *content, size_t size, uint64_t i, const char *path)
{
	const size_t at = fsmoe_rng_bits(12, i) % size;
	const char bit = (char)(1 << fsmoe_rng_bits(13, i) % 8);

	content[at] ^= bit;
	test_write(path, content, i % 3 ? size : at);
	content[at] ^= bit;
}

/* A thousand of a file, another thousand of its checksum; without it many pass. */
static void a_thousand_accidents(const struct format *f)
{
	char path[600], sum_path[700], *content, *sum_content;
	struct fsmoe_data *data = NULL;
	struct fsmoe_checksum sum;
	size_t size, sum_size;
	int passed = 0;

	snprintf(path, sizeof(path), "%s", test_path(f->name));
	snprintf(sum_path, sizeof(sum_path), "%s%s", path, FSMOE_CHECKSUM_SUFFIX);
	size = write_format(f, path);
	assert_int_equal(fsmoe_checksum_make(path, &sum), 0);
	assert_int_equal(fsmoe_checksum_write(path, &sum), 0);
	assert_int_equal(sum.bytes, size);
	assert_int_equal(open_tokens(&data, path, f->vocab), 0);
	fsmoe_data_close(data);
	data = NULL;
	assert_int_equal(fsmoe_file_read(path, &content, &size), 0);
	assert_int_equal(fsmoe_file_read(sum_path, &sum_content, &sum_size), 0);
	for (uint64_t i = 0; i < 1000; i++)
	{
		harm(content, size, i, path);
		assert_int_equal(open_tokens(&data, path, f->vocab), -EPROTO);
		assert_true(strlen(fsmoe_last_error()) > 20);
		unlink(sum_path);
		if (!open_tokens(&data, path, f->vocab))
		{
			passed++;
			fsmoe_data_close(data);
			data = NULL;
		}
		test_write(path, content, size);
		harm(sum_content, sum_size, i, sum_path);
		assert_int_equal(open_tokens(&data, path, f->vocab), -EPROTO);
		test_write(sum_path, sum_content, sum_size);
	}
	assert_in_range(passed, 500, 1000);
	assert_int_equal(open_tokens(&data, path, f->vocab), 0);
	fsmoe_data_close(data);
	free(content);
	free(sum_content);
	unlink(path);
	unlink(sum_path);
}

static void checksums_of_every_format(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		a_thousand_accidents(&formats[i]);
}

static void what_a_checksum_says(void **state)
{
	char path[600], sum_path[700], pattern[700];
	struct fsmoe_data *data = NULL;
	struct fsmoe_checksum sum;
	char *text;

	(void)state;
	snprintf(path, sizeof(path), "%s", test_path("said"));
	snprintf(sum_path, sizeof(sum_path), "%s.crc32c", path);
	snprintf(pattern, sizeof(pattern), "%s*", path);
	test_write(path, "123456789", 9);
	assert_int_equal(fsmoe_checksum_make(path, &sum), 0);
	assert_int_equal(fsmoe_checksum_write(path, &sum), 0);
	assert_int_equal(fsmoe_file_read(sum_path, &text, NULL), 0);
	assert_memory_equal(text, "e3069283 9 ", 11);
	assert_string_equal(text + 11 + strlen(text + 11) - 5, "said\n");
	free(text);
	/* The checksum is no data itself. */
	assert_int_equal(open_tokens(&data, pattern, 256), 0);
	assert_int_equal(fsmoe_data_files(data), 1);
	fsmoe_data_close(data);
	data = NULL;
	/* Damaged and outside of the vocabulary: it is the damage that is told. */
	test_write(path, "12345678\377", 9);
	assert_fails(open_tokens(&data, path, 128), EPROTO, "is damaged, its CRC32C is");
	test_write(path, "12345678", 8);
	assert_fails(open_tokens(&data, path, 128), EPROTO, "has 8 bytes, its checksum is of 9");
	/* Right, but outside of it. */
	test_write(path, "12345678\377", 9);
	assert_int_equal(fsmoe_checksum_make(path, &sum), 0);
	assert_int_equal(fsmoe_checksum_write(path, &sum), 0);
	assert_fails(open_tokens(&data, path, 128), EDOM, "token 255, byte 8 of");
	test_write(sum_path, "e3069283 9 other\n", 17);
	assert_fails(open_tokens(&data, path, 256), EPROTO, "or of another file");
	assert_fails(fsmoe_checksum_make("/", &sum), EINVAL, "not a regular file");
	unlink(path);
	unlink(sum_path);
	assert_fails(fsmoe_checksum_make(path, &sum), ENOENT, "cannot read the data");
}

static void a_token_outside_names_its_place(void **state)
{
	const char *path = write_llmc("outside.bin", 20240520, 1, N, 2, 1000);
	struct fsmoe_data *data = NULL;
	char place[64];
	size_t first = 0;

	(void)state;
	while (token(first, 1000) < 900)
		first++;
	snprintf(place, sizeof(place), "token %u, byte %zu of", token(first, 1000),
		 HEADER + 2 * first);
	assert_fails(open_tokens(&data, path, 900), EDOM, place);
	assert_fails(open_tokens(&data, path, 900), EDOM, "the tokenizer's size with --vocab-size");
	unlink(path);
}

/* Too large to be looked through at the start: found where it is read, and only there. */
static void a_token_outside_is_found_when_it_is_read(void **state)
{
	const size_t n = ((size_t)1 << 25) + 8;
	const char *path = test_path("large.bin");
	static const unsigned char bad[2] = {0xff, 0x7f};
	int32_t tokens[SEQ], targets[SEQ];
	struct fsmoe_data *data;
	FILE *file = fopen(path, "w");

	(void)state;
	assert_non_null(file);
	/* A hole: zeros that take no room. */
	assert_int_equal(fseek(file, (long)(2 * (n - 3)), SEEK_SET), 0);
	assert_int_equal(fwrite(bad, 1, 2, file), 2);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(truncate(path, (long)(2 * n)), 0);
	assert_int_equal(open_tokens(&data, path, 1000), 0);
	assert_int_equal(fsmoe_data_windows(data, FSMOE_SPLIT_TRAIN, 0, 1, SEQ, tokens, targets),
			 0);
	assert_fails(fsmoe_data_windows(data, FSMOE_SPLIT_HELD_OUT,
					fsmoe_data_samples(data, FSMOE_SPLIT_HELD_OUT, SEQ) - 1, 1,
					SEQ, tokens, targets),
		     EDOM, "token 32767");
	fsmoe_data_close(data);
	unlink(path);
}

static void formats_by_name_and_not_mixed(void **state)
{
	char pattern[600];
	const char *plain = write_plain("mix-a.bin", 200, 100);
	const char *text = test_path("mix-b");
	struct fsmoe_data_opts opts = {.vocab_size = 65536, .format = FSMOE_DATA_BYTES};
	struct fsmoe_data *data = NULL;

	(void)state;
	test_write(text, "some text", 9);
	snprintf(pattern, sizeof(pattern), "%s*", test_path("mix-"));
	assert_fails(open_tokens(&data, pattern, 256), EINVAL, "train on one kind at a time");
	/* Told so, a .bin is bytes. */
	assert_int_equal(fsmoe_data_open(&data, plain, &opts), 0);
	assert_int_equal(fsmoe_data_tokens(data, FSMOE_SPLIT_TRAIN), 400);
	assert_string_equal(fsmoe_data_unit(data), "bytes");
	fsmoe_data_close(data);
	opts.format = FSMOE_DATA_LLMC;
	assert_fails(fsmoe_data_open(&data, plain, &opts), EPROTO, "no header of llm.c");
	unlink(plain);
	unlink(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nanogpt_and_llmc_as_they_are),
		cmocka_unit_test(damaged_headers),
		cmocka_unit_test(flips_and_truncations_of_the_header),
		cmocka_unit_test(checksums_of_every_format),
		cmocka_unit_test(what_a_checksum_says),
		cmocka_unit_test(a_token_outside_names_its_place),
		cmocka_unit_test(a_token_outside_is_found_when_it_is_read),
		cmocka_unit_test(formats_by_name_and_not_mixed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
