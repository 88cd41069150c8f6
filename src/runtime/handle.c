/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/memory.h"
#include "runtime/gpu_ops.h"
#include "runtime/runtime_internal.h"

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

/* The copy of a parameter lies beside it, once, whoever computes with it. */
static int place(fsmoe_runtime_t rt, struct fsmoe_handle *h, const struct fsmoe_tensor_info *tensor)
{
	int err = rt->executor->place(rt, h);

	if (err || !fsmoe_has_copy(rt->real, tensor))
		return err;
	err = fsmoe_gpu->make_copy((const float *)(void *)h->fixed, h->bytes / sizeof(float),
				   &h->copy);
	if (err)
		rt->executor->remove(rt, h);
	return err;
}

/* Decides, here alone, what a buffer holds where programs compute. */
struct fsmoe_handle *fsmoe_handle_get(fsmoe_runtime_t rt, void *data, size_t bytes,
				      const struct fsmoe_tensor_info *tensor,
				      struct fsmoe_home home, int *err)
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
					   .narrow = fsmoe_tensor_real(rt->real, tensor) ==
						     FSMOE_BF16,
					   .window = home.window,
					   .users = 1};
	if (h && home.window)
	{
		fsmoe_gpu->keep_window(home.window);
		h->fixed = home.at;
	}
	*err = h && h->name && tsearch(h, &rt->handles, by_data)
		       ? place(rt, h, tensor)
		       : fsmoe_fail(ENOMEM, "no memory to register tensor '%s'", tensor->name);
	if (!*err)
		return h;
	if (h)
	{
		if (h->window)
			fsmoe_gpu->release_window(h->window);
		tdelete(h, &rt->handles, by_data);
		free(h->name);
	}
	free(h);
	return NULL;
}

int fsmoe_handle_known(fsmoe_runtime_t rt, void *data)
{
	struct fsmoe_handle key = {.data = data};

	return tfind(&key, &rt->handles, by_data) != NULL;
}

void fsmoe_handle_put(fsmoe_runtime_t rt, struct fsmoe_handle *h)
{
	if (!h || --h->users > 0)
		return;
	tdelete(h, &rt->handles, by_data);
	if (h->copy)
		fsmoe_gpu->free(h->copy);
	rt->executor->remove(rt, h);
	if (h->window)
		fsmoe_gpu->release_window(h->window);
	free(h->name);
	free(h);
}
