/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A buffer is registered with StarPU whole (runtime/runtime_internal.h), also with more than 2^32
 * numbers, and no larger than it is; one that is too large even so is refused. The large ones are
 * touched in their first and last page alone.
 */
#include "graph/memory.h"
#include "runtime/runtime_internal.h"
#include "tests/lib/try.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static const size_t numbers[] = {
	0, 1, 63, 64, 65, 1000, ((size_t)1 << 32) - 1, (size_t)1 << 32, ((size_t)1 << 32) + 1,
};

static int is_told(fsmoe_runtime_t rt, char *data, size_t n)
{
	const struct fsmoe_tensor_info info = {.role = FSMOE_INPUT, .name = "large"};
	const size_t bytes = n * sizeof(float);
	struct fsmoe_handle *h;
	size_t told;
	int err, bad;

	h = fsmoe_handle_get(rt, data, bytes, &info, (struct fsmoe_home){0}, &err);
	TRY(err);
	told = starpu_vector_get_nx(h->handle) * starpu_vector_get_elemsize(h->handle);
	bad = told < bytes || told - bytes >= FSMOE_ALIGNMENT || told != fsmoe_handle_bytes(h);
	h->narrow = 1; /* on a GPU: half as much */
	bad |= 2 * fsmoe_handle_bytes(h) != told;
	if (bad)
		printf("of %zu bytes StarPU is told %zu, and %zu in bf16\n", bytes, told,
		       fsmoe_handle_bytes(h));
	h->narrow = 0;
	fsmoe_handle_put(rt, h);
	return bad;
}

static int is_refused(fsmoe_runtime_t rt, char *data)
{
	const struct fsmoe_tensor_info info = {.role = FSMOE_INPUT, .name = "too large"};
	int err;

	if (fsmoe_handle_get(rt, data, ((size_t)1 << 40) + sizeof(float), &info,
			     (struct fsmoe_home){0}, &err) ||
	    err != -EINVAL || !strstr(fsmoe_last_error(), "'too large' of 1024 GiB"))
	{
		printf("2^38 + 1 numbers: %d, '%s'\n", err, fsmoe_last_error());
		return 1;
	}
	return fsmoe_handle_known(rt, data);
}

int main(void)
{
	const size_t most = (((size_t)1 << 32) + FSMOE_ALIGNMENT) * sizeof(float);
	fsmoe_runtime_t rt;
	int bad = 0;
	char *data = mmap(NULL, most, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (data == MAP_FAILED)
	{
		printf("no 16 GiB of addresses here\n");
		return 77;
	}
	TRY(fsmoe_runtime_start(&rt, NULL, NULL));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		bad += is_told(rt, data, numbers[i]);
	bad += is_refused(rt, data);
	fsmoe_runtime_stop(rt);
	munmap(data, most);
	return bad != 0;
}
