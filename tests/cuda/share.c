/* SPDX-License-Identifier: Apache-2.0 */
#include "share.h"

#include "base/clock.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int share_read(struct share *share)
{
	const char *sizes = getenv("FSMOE_CHECK_SIZES"), *part = getenv("FSMOE_CHECK_PART"),
		   *seconds = getenv("FSMOE_CHECK_SECONDS");

	*share = (struct share){.parts = 1, .without = getenv("FSMOE_CHECK_WITHOUT")};
	share->sizes = sizes ? atoi(sizes) : 0;
	share->until = seconds ? fsmoe_clock() + atof(seconds) : INFINITY;
	if (part && (sscanf(part, "%d/%d", &share->part, &share->parts) != 2 || share->parts < 1))
		return fsmoe_fail(EINVAL, "FSMOE_CHECK_PART is '%s': give I/N, as 0/4", part);
	return 0;
}

int share_takes(struct share *share)
{
	if (share->at++ % share->parts != share->part)
		return 0;
	if (fsmoe_clock() <= share->until)
		return 1;
	share->late++;
	return 0;
}

int share_leaves(const struct share *share, const char *name)
{
	const size_t n = strlen(name);

	for (const char *at = share->without; at && *at; at += strcspn(at, ":"))
	{
		at += *at == ':';
		if (!strncmp(at, name, n) && (at[n] == ':' || !at[n]))
			return 1;
	}
	return 0;
}
