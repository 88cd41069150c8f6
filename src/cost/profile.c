/* SPDX-License-Identifier: Apache-2.0 */
#include "cost/profile.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The kind whose line stands in for a kind without one: memory for other work on bytes, AlltoAll
 * for a stage of it. 0: no kind. */
static const enum fsmoe_kind stand_in[FSMOE_NKINDS] = {
	[FSMOE_KIND_REDUCTION] = FSMOE_KIND_MEMORY,
	[FSMOE_KIND_ROUTING] = FSMOE_KIND_MEMORY,
	[FSMOE_KIND_STAGE] = FSMOE_KIND_ALLTOALL,
};

const char *fsmoe_kind_name_at(const void *unused, int i)
{
	(void)unused;
	return i < FSMOE_NKINDS ? fsmoe_kind_name((enum fsmoe_kind)i) : NULL;
}

const char *fsmoe_lane_name_at(const void *unused, int i)
{
	(void)unused;
	return i < FSMOE_NLANES ? fsmoe_lane_name((enum fsmoe_lane)i) : NULL;
}

int fsmoe_profile_create(fsmoe_profile_t *profile)
{
	fsmoe_profile_t p = calloc(1, sizeof(*p));

	if (!p)
		return fsmoe_fail(ENOMEM, "no memory for a profile");
	*profile = p;
	return 0;
}

void fsmoe_profile_destroy(fsmoe_profile_t profile)
{
	free(profile);
}

int fsmoe_profile_describe(fsmoe_profile_t p, const char *machine, const char *source)
{
	if ((machine && strlen(machine) >= sizeof(p->machine)) ||
	    (source && strlen(source) >= sizeof(p->source)))
		return fsmoe_fail(EINVAL, "a profile keeps %d bytes of what machine it is of",
				  FSMOE_PROFILE_TEXT - 1);
	if (machine)
		snprintf(p->machine, sizeof(p->machine), "%s", machine);
	if (source)
		snprintf(p->source, sizeof(p->source), "%s", source);
	return 0;
}

const char *fsmoe_profile_machine(fsmoe_profile_t p)
{
	return p->machine;
}

const char *fsmoe_profile_source(fsmoe_profile_t p)
{
	return p->source;
}

int fsmoe_profile_set_arithmetic(fsmoe_profile_t p, const char *device, const char *dtype)
{
	if ((device && strlen(device) >= sizeof(p->device)) ||
	    (dtype && strlen(dtype) >= sizeof(p->dtype)))
		return fsmoe_fail(EINVAL,
				  "a profile keeps %d bytes of the name of a device or a dtype",
				  FSMOE_PROFILE_NAME - 1);
	if (device)
		snprintf(p->device, sizeof(p->device), "%s", device);
	if (dtype)
		snprintf(p->dtype, sizeof(p->dtype), "%s", dtype);
	return 0;
}

const char *fsmoe_profile_device(fsmoe_profile_t p)
{
	return p->device;
}

const char *fsmoe_profile_dtype(fsmoe_profile_t p)
{
	return p->dtype;
}

int fsmoe_profile_note(fsmoe_profile_t p, const char *key, const char *text)
{
	int i = 0;

	if (!*key || strlen(key) >= FSMOE_PROFILE_KEY || strlen(text) >= FSMOE_PROFILE_TEXT)
		return fsmoe_fail(EINVAL,
				  "a profile's note '%s' must have a key of 1 to %d bytes and at "
				  "most %d of text",
				  key, FSMOE_PROFILE_KEY - 1, FSMOE_PROFILE_TEXT - 1);
	while (i < p->notes && strcmp(p->note[i].key, key))
		i++;
	if (i == FSMOE_PROFILE_NOTES)
		return fsmoe_fail(EINVAL, "a profile keeps %d notes: no room for '%s'", i, key);
	p->notes += i == p->notes;
	snprintf(p->note[i].key, sizeof(p->note[i].key), "%s", key);
	snprintf(p->note[i].text, sizeof(p->note[i].text), "%s", text);
	return 0;
}

const char *fsmoe_profile_note_at(fsmoe_profile_t p, int i, const char **key)
{
	if (i < 0 || i >= p->notes)
		return NULL;
	*key = p->note[i].key;
	return p->note[i].text;
}

static int check_place(enum fsmoe_kind kind, enum fsmoe_lane lane)
{
	if ((unsigned)kind >= FSMOE_NKINDS || (unsigned)lane >= FSMOE_NLANES)
		return fsmoe_fail(EINVAL, "there is no kind %d on a lane %d", (int)kind, (int)lane);
	if (FSMOE_KIND_IS_COMM(kind) == (lane == FSMOE_COMPUTE))
		return fsmoe_fail(EINVAL, "%s does not run on the lane %s", fsmoe_kind_name(kind),
				  fsmoe_lane_name(lane));
	return 0;
}

int fsmoe_profile_set(fsmoe_profile_t p, enum fsmoe_kind kind, enum fsmoe_lane lane,
		      const struct fsmoe_fit *fit)
{
	int err = check_place(kind, lane);

	if (err)
		return err;
	if (!(fit->alpha >= 0 && isfinite(fit->alpha) && fit->beta >= 0 && isfinite(fit->beta)))
		return fsmoe_fail(EINVAL,
				  "alpha = %g and beta = %g of %s: both must be finite and not "
				  "negative",
				  fit->alpha, fit->beta, fsmoe_kind_name(kind));
	p->fit[kind][lane] = *fit;
	p->fitted[kind][lane] = 1;
	return 0;
}

/* NULL with a sentence. */
static const struct fsmoe_fit *find(fsmoe_profile_t p, enum fsmoe_kind kind, enum fsmoe_lane lane,
				    int *err)
{
	*err = check_place(kind, lane);
	if (!*err && stand_in[kind] && !p->fitted[kind][lane])
		kind = stand_in[kind];
	if (!*err && !p->fitted[kind][lane])
		*err = fsmoe_fail(ENODATA,
				  "the profile has no line for %s on the lane %s: measure it with "
				  "'fsmoe profile', or write its alpha and beta into the file",
				  fsmoe_kind_name(kind), fsmoe_lane_name(lane));
	return *err ? NULL : &p->fit[kind][lane];
}

int fsmoe_profile_get(fsmoe_profile_t p, enum fsmoe_kind kind, enum fsmoe_lane lane,
		      struct fsmoe_fit *fit)
{
	int err;
	const struct fsmoe_fit *found = find(p, kind, lane, &err);

	if (found)
		*fit = *found;
	return err;
}

int fsmoe_profile_predict(fsmoe_profile_t p, enum fsmoe_kind kind, enum fsmoe_lane lane, double n,
			  double *seconds)
{
	int err;
	const struct fsmoe_fit *found = find(p, kind, lane, &err);

	if (found)
		*seconds = fsmoe_line_seconds(found->alpha, found->beta, n);
	return err;
}
