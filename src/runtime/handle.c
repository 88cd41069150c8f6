/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/runtime.h"

#include <search.h>
#include <stdlib.h>

static int by_data(const void *a, const void *b)
{
	const struct fsmoe_handle *x = a, *y = b;

	return x->data < y->data ? -1 : x->data > y->data;
}

struct fsmoe_handle *fsmoe_handle_get(fsmoe_runtime_t rt, void *data, size_t bytes,
				      const char *name)
{
	struct fsmoe_handle key = {.data = data}, **found, *h;

	found = tfind(&key, &rt->handles, by_data);
	if (found)
	{
		(*found)->users++;
		return *found;
	}
	h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->data = data;
	h->users = 1;
	if (!tsearch(h, &rt->handles, by_data))
	{
		free(h);
		return NULL;
	}
	/* Elements of four bytes, floats or int32: StarPU counts them in 32 bits. */
	starpu_vector_data_register(&h->handle, STARPU_MAIN_RAM, (uintptr_t)data,
				    (uint32_t)((bytes + 3) / 4), 4);
	starpu_data_set_name(h->handle, name);
	return h;
}

void fsmoe_handle_put(fsmoe_runtime_t rt, struct fsmoe_handle *h)
{
	if (!h || --h->users > 0)
		return;
	tdelete(h, &rt->handles, by_data);
	starpu_data_unregister(h->handle);
	free(h);
}
