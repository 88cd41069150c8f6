/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/runtime.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

static int by_data(const void *a, const void *b)
{
	const struct fsmoe_handle *x = a, *y = b;

	return x->data < y->data ? -1 : x->data > y->data;
}

struct fsmoe_handle *fsmoe_handle_get(fsmoe_runtime_t rt, void *data, size_t bytes,
				      const struct fsmoe_tensor_info *tensor, int *err)
{
	struct fsmoe_handle key = {.data = data}, **found, *h;

	found = tfind(&key, &rt->handles, by_data);
	if (found)
	{
		(*found)->users++;
		return *found;
	}
	h = calloc(1, sizeof(*h));
	if (h)
		*h = (struct fsmoe_handle){.data = data,
					   .bytes = bytes,
					   .role = tensor->role,
					   .name = strdup(tensor->name ? tensor->name : ""),
					   .users = 1};
	*err = h && h->name && tsearch(h, &rt->handles, by_data)
		       ? rt->executor->place(rt, h)
		       : fsmoe_fail(ENOMEM, "no memory to register tensor '%s'", tensor->name);
	if (!*err)
		return h;
	if (h)
	{
		tdelete(h, &rt->handles, by_data);
		free(h->name);
	}
	free(h);
	return NULL;
}

void fsmoe_handle_put(fsmoe_runtime_t rt, struct fsmoe_handle *h)
{
	if (!h || --h->users > 0)
		return;
	tdelete(h, &rt->handles, by_data);
	rt->executor->remove(rt, h);
	free(h->name);
	free(h);
}
