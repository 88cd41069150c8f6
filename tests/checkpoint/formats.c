/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/base/unit.h"

#include "base/crc32c.h"
#include "base/file.h"
#include "base/rng.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/manifest.h"
#include "checkpoint/safetensors.h"

/* --- CRC32C ------------------------------------------------------------------------------- */

/* The vectors of RFC 3720, B.4, and the one that everybody quotes. */
static void golden_checksums(void **state)
{
	unsigned char bytes[32];

	(void)state;
	assert_int_equal(fsmoe_crc32c("123456789", 9), 0xe3069283);
	assert_int_equal(fsmoe_crc32c("", 0), 0);
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(fsmoe_crc32c(bytes, sizeof(bytes)), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(fsmoe_crc32c(bytes, sizeof(bytes)), 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		bytes[i] = (unsigned char)i;
	assert_int_equal(fsmoe_crc32c(bytes, sizeof(bytes)), 0x46dd794e);
	for (int i = 0; i < 32; i++)
		bytes[i] = (unsigned char)(31 - i);
	assert_int_equal(fsmoe_crc32c(bytes, sizeof(bytes)), 0x113fdb5c);
}

/* Any cutting into any number of owners gives the CRC of the whole. */
static void checksums_of_slices(void **state)
{
	unsigned char bytes[1000];

	(void)state;
	for (int i = 0; i < 1000; i++)
		bytes[i] = (unsigned char)fsmoe_rng_bits(3, (uint64_t)i);
	for (uint64_t trial = 0; trial < 200; trial++)
	{
		const size_t size = fsmoe_rng_bits(4, trial) % sizeof(bytes);
		uint32_t all = 0;

		for (unsigned owner = 0; owner < 3; owner++)
		{
			uint32_t raw = 0;
			size_t length;

			for (size_t at = 0; at < size; at += length)
			{
				const uint64_t bits =
					fsmoe_rng_bits(fsmoe_rng_subkey(5, trial), at);

				length = 1 + bits % 90;
				length = length < size - at ? length : size - at;
				raw = (bits >> 32) % 3 == owner
					      ? fsmoe_crc32c_raw(raw, bytes + at, length)
					      : fsmoe_crc32c_zeros(raw, length);
			}
			all ^= raw;
		}
		assert_int_equal(fsmoe_crc32c_final(all, size), fsmoe_crc32c(bytes, size));
	}
	/* Far beyond 32 bits of length: zeros are composable. */
	assert_int_equal(fsmoe_crc32c_zeros(fsmoe_crc32c_zeros(7, 1ull << 40), 12345),
			 fsmoe_crc32c_zeros(7, (1ull << 40) + 12345));
}

/* --- safetensors -------------------------------------------------------------------------- */

static const struct fsmoe_safetensor three[] = {
	{.name = "b", .shape = {2, {2, 3}}},
	{.name = "a \"quoted\" \xc3\xa9", .shape = {1, {0}}},
	{.name = "c", .shape = {0, {0}}},
};

/* A whole file in memory; the caller frees it. */
static char *build(size_t *bytes)
{
	struct fsmoe_safetensors f;
	char *all;

	assert_int_equal(fsmoe_safetensors_plan(&f, "three", three, 3), 0);
	*bytes = (size_t)f.bytes;
	all = calloc(*bytes, 1);
	memcpy(all, f.header, f.header_bytes);
	fsmoe_safetensors_free(&f);
	return all;
}

static void safetensors_read_back(void **state)
{
	const char *path = test_path("three");
	struct fsmoe_safetensors f;
	const struct fsmoe_safetensor *t;
	size_t bytes;
	char *all = build(&bytes);

	(void)state;
	test_write(path, all, bytes);
	assert_int_equal(fsmoe_safetensors_open(&f, path), 0);
	assert_int_equal(f.n, 3);
	assert_int_equal(f.header_bytes % 64, 0);
	assert_int_equal(f.bytes, f.header_bytes + 7 * sizeof(float));
	for (int i = 0; i < 3; i++)
	{
		t = fsmoe_safetensors_find(&f, three[i].name);
		assert_non_null(t);
		assert_true(fsmoe_shape_equal(&t->shape, &three[i].shape));
	}
	assert_int_equal(fsmoe_safetensors_find(&f, "c")->begin, f.header_bytes + 24);
	assert_null(fsmoe_safetensors_find(&f, "d"));
	fsmoe_safetensors_free(&f);
	free(all);
	unlink(path);
}

static void names_that_cannot_be(void **state)
{
	const struct fsmoe_safetensor twice[] = {{.name = "a", .shape = {1, {1}}},
						 {.name = "a", .shape = {1, {1}}}};
	const struct fsmoe_safetensor reserved[] = {{.name = "__metadata__", .shape = {1, {1}}}};
	const struct fsmoe_safetensor latin[] = {{.name = "\xe9", .shape = {1, {1}}}};
	struct fsmoe_safetensors f = {0};

	(void)state;
	assert_fails(fsmoe_safetensors_plan(&f, "x", twice, 2), EINVAL, "stored as 'a'");
	assert_fails(fsmoe_safetensors_plan(&f, "x", reserved, 1), EINVAL, "__metadata__");
	assert_fails(fsmoe_safetensors_plan(&f, "x", latin, 1), EINVAL, "not UTF-8");
	assert_null(f.path);
}

/* A file with this header and `data` bytes after it. */
static int try_header(const char *header, size_t data)
{
	const char *path = test_path("header");
	struct fsmoe_safetensors f;
	const size_t n = strlen(header);
	char *all = calloc(8 + n + data, 1);
	int err;

	all[0] = (char)n;
	all[1] = (char)(n >> 8);
	memcpy(all + 8, header, n);
	test_write(path, all, 8 + n + data);
	free(all);
	err = fsmoe_safetensors_open(&f, path);
	if (!err)
		fsmoe_safetensors_free(&f);
	unlink(path);
	return err;
}

#define F32(shape, offsets) "{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void bad_headers(void **state)
{
	static const struct
	{
		const char *header, *says;
		size_t data;
	} bad[] = {
		{"", "", 0},
		{"[]", "no object", 0},
		{"{\"a\":1}", "'a'", 0},
		{"{\"a\":{}}", "not described", 0},
		{"{\"a\":" F32("[1]", "[0,4]") "} x", "end of file", 4},
		{"{\"a\":" F32("[1]", "[0,4]") ",\"a\":" F32("[1]", "[0,4]") "}", "duplicate", 4},
		{"{\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]}}", "F32", 4},
		{"{\"a\":" F32("[1]", "[0,8]") "}", "not as long", 8},
		{"{\"a\":" F32("[-1]", "[0,4]") "}", "shape that is none", 4},
		{"{\"a\":" F32("[1.0]", "[0,4]") "}", "shape that is none", 4},
		{"{\"a\":" F32("1", "[0,4]") "}", "no shape", 4},
		{"{\"a\":" F32("[1,1,1,1,1]", "[0,4]") "}", "four dimensions", 4},
		{"{\"a\":" F32("[4611686018427387904]", "[0,0]") "}", "shape that is none", 0},
		{"{\"a\":" F32("[4294967296,4294967296]", "[0,0]") "}", "shape that is none", 0},
		{"{\"a\":" F32("[1]", "[4,0]") "}", "data_offsets", 4},
		{"{\"a\":" F32("[1]", "[-4,0]") "}", "data_offsets", 4},
		{"{\"a\":" F32("[1]", "[0]") "}", "data_offsets", 4},
		{"{\"a\":" F32("[1]", "[4,8]") "}", "hole", 8},
		{"{\"a\":" F32("[1]", "[0,4]") ",\"b\":" F32("[1]", "[8,12]") "}", "'b'", 12},
		{"{\"a\":" F32("[2]", "[0,8]") ",\"b\":" F32("[1]", "[4,8]") "}", "overlaps", 8},
		{"{\"a\":" F32("[1]", "[0,4]") "}", "instead of", 0},
		{"{\"a\":" F32("[1]", "[0,4]") "}", "it was cut or added to", 5},
		{"{\"__metadata__\":{\"x\":1}}", "strings", 0},
		{"{\"__metadata__\":1}", "no object", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_fails(try_header(bad[i].header, bad[i].data), EPROTO, bad[i].says);
	assert_int_equal(try_header("{}", 0), 0);
	assert_int_equal(try_header("{\"a\":" F32("[]", "[0,4]") "}   \n", 4), 0);
}

/* Whatever byte is changed, the reader returns, and a file cut anywhere is refused. */
static void damaged_safetensors(void **state)
{
	const char *path = test_path("damaged");
	struct fsmoe_safetensors f;
	size_t bytes;
	char *all = build(&bytes);

	(void)state;
	for (size_t i = 0; i < bytes; i++)
		for (int bit = 0; bit < 8; bit++)
		{
			all[i] ^= (char)(1 << bit);
			test_write(path, all, bytes);
			all[i] ^= (char)(1 << bit);
			if (!fsmoe_safetensors_open(&f, path))
				fsmoe_safetensors_free(&f);
		}
	for (size_t n = 0; n < bytes; n++)
	{
		test_write(path, all, n);
		assert_int_equal(fsmoe_safetensors_open(&f, path), -EPROTO);
	}
	assert_fails(fsmoe_safetensors_open(&f, "/"), EPROTO, "regular");
	free(all);
	unlink(path);
}

/* --- manifest ----------------------------------------------------------------------------- */

static char *manifest_text(void)
{
	struct fsmoe_checkpoint_info info;
	json_t *json;
	char *text;

	fsmoe_checkpoint_info_init(&info);
	info.step = 123;
	info.samples = 984;
	info.train.seed = UINT64_MAX;
	info.train.beta2 = 0.98765432109876543;
	info.train.optimizer = "sgd";
	info.has_model = 1;
	assert_int_equal(fsmoe_model_spec_init(&info.model, "tiny"), 0);
	info.model.capacity_factor = 1.1;
	info.ranks = 4;
	info.layout = (struct fsmoe_layout){.dp = 2, .tp = 2, .ep = 2, .esp = 2};
	info.run = (char *)"{\"epoch\": 3}";
	assert_int_equal(fsmoe_manifest_begin(&json, &info), 0);
	assert_int_equal(fsmoe_manifest_add_file(json, "model.safetensors",
						 &(struct fsmoe_manifest_file){100, 0xabcdef}),
			 0);
	assert_int_equal(
		fsmoe_manifest_add_tensor(json, "wte.weight",
					  &(struct fsmoe_manifest_tensor){
						  "model.safetensors", {2, {3, 4}}, 0xfffffffe}),
		0);
	assert_int_equal(fsmoe_manifest_text(json, &text), 0);
	json_decref(json);
	return text;
}

static void manifest_reads_back(void **state)
{
	const char *path = test_path("manifest.json");
	struct fsmoe_manifest m;
	struct fsmoe_manifest_file file;
	struct fsmoe_manifest_tensor t;
	struct fsmoe_model_spec model;
	char *text = manifest_text();

	(void)state;
	test_write(path, text, strlen(text));
	assert_int_equal(fsmoe_manifest_read(&m, path), 0);
	assert_int_equal(m.info.step, 123);
	assert_int_equal(m.info.samples, 984);
	assert_true(m.info.train.seed == UINT64_MAX);
	assert_true(m.info.train.beta2 == 0.98765432109876543);
	assert_string_equal(m.info.train.optimizer, "sgd");
	assert_int_equal(m.info.ranks, 4);
	assert_int_equal(m.info.layout.esp, 2);
	assert_string_equal(m.info.run, "{\"epoch\":3}");
	assert_int_equal(fsmoe_manifest_find_file(&m, "model.safetensors", &file), 0);
	assert_int_equal(file.header_crc, 0xabcdef);
	assert_int_equal(fsmoe_manifest_find_file(&m, "x", &file), -ENOENT);
	assert_int_equal(fsmoe_manifest_find_tensor(&m, "wte.weight", &t), 0);
	assert_int_equal(t.crc, 0xfffffffe);
	assert_int_equal(t.shape.dim[1], 4);

	assert_int_equal(fsmoe_model_spec_init(&model, "tiny"), 0);
	model.forward_degree = 7;
	assert_int_equal(fsmoe_manifest_check_model(&m, &model), 0);
	model.heads = 2;
	assert_fails(fsmoe_manifest_check_model(&m, &model), EINVAL, "give --heads=4");
	fsmoe_manifest_free(&m);
	free(text);
	unlink(path);
}

static void damaged_manifest(void **state)
{
	const char *path = test_path("manifest.json");
	struct fsmoe_manifest m;
	char *text = manifest_text(), *newer, *version;
	const size_t n = strlen(text);

	(void)state;
	for (size_t i = 0; i < n; i++)
		for (int bit = 0; bit < 8; bit++)
		{
			text[i] ^= (char)(1 << bit);
			test_write(path, text, n);
			text[i] ^= (char)(1 << bit);
			assert_int_equal(fsmoe_manifest_read(&m, path), -EPROTO);
		}
	for (size_t i = 0; i < n; i++)
	{
		test_write(path, text, i);
		assert_int_equal(fsmoe_manifest_read(&m, path), -EPROTO);
	}
	newer = strdup(text);
	version = strstr(newer, "\"version\": 1");
	version[strlen("\"version\": ")] = '2';
	test_write(path, newer, n);
	assert_fails(fsmoe_manifest_read(&m, path), EPROTO, "has format 2, this fsmoe reads 1");
	free(newer);
	free(text);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_checksums),      cmocka_unit_test(checksums_of_slices),
		cmocka_unit_test(safetensors_read_back), cmocka_unit_test(names_that_cannot_be),
		cmocka_unit_test(bad_headers),           cmocka_unit_test(damaged_safetensors),
		cmocka_unit_test(manifest_reads_back),   cmocka_unit_test(damaged_manifest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
