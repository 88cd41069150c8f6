/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/device.h"

#include <errno.h>
#include <fsmoe/error.h>

/* Without NCCL 2.28: no group may have a window, so that none is ever made. */

static const char reason[] = "this fsmoe was built without NCCL 2.28 or later";

const char *fsmoe_window_refused(fsmoe_comms_t comms, enum fsmoe_group group)
{
	(void)comms, (void)group;
	return reason;
}

int fsmoe_window_create(struct fsmoe_window **window, size_t bytes)
{
	(void)window, (void)bytes;
	return fsmoe_fail(ENOTSUP, "%s", reason);
}

int fsmoe_window_register(struct fsmoe_window *window, fsmoe_comms_t comms, unsigned groups)
{
	(void)window, (void)comms, (void)groups;
	return fsmoe_fail(ENOTSUP, "%s", reason);
}

char *fsmoe_window_data(struct fsmoe_window *window)
{
	(void)window;
	return NULL;
}

void fsmoe_window_keep(struct fsmoe_window *window)
{
	(void)window;
}

void fsmoe_window_release(struct fsmoe_window *window)
{
	(void)window;
}
