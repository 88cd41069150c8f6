/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_COST_PROFILE_H
#define FSMOE_COST_PROFILE_H

#include <fsmoe/profile.h>

enum
{
	FSMOE_PROFILE_NOTES = 16,
	FSMOE_PROFILE_KEY = 32,
	FSMOE_PROFILE_NAME = 16 /* of a device, a dtype */
};

struct fsmoe_profile
{
	struct fsmoe_fit fit[FSMOE_NKINDS][FSMOE_NLANES];
	char fitted[FSMOE_NKINDS][FSMOE_NLANES];
	char machine[FSMOE_PROFILE_TEXT], source[FSMOE_PROFILE_TEXT];
	char device[FSMOE_PROFILE_NAME], dtype[FSMOE_PROFILE_NAME];
	int notes;
	struct
	{
		char key[FSMOE_PROFILE_KEY], text[FSMOE_PROFILE_TEXT];
	} note[FSMOE_PROFILE_NOTES];
};

/* The files data/profiles/testbed-*.json, built in. */
extern const char fsmoe_testbed_a[], fsmoe_testbed_b[];
/* Reads the profile of the FSMoE paper's testbed 'A' or 'B'; the caller destroys it. */
int fsmoe_profile_testbed(fsmoe_profile_t *profile, char testbed);

/* For fsmoe_suggest: names of kinds, of lanes. */
const char *fsmoe_kind_name_at(const void *unused, int i);
const char *fsmoe_lane_name_at(const void *unused, int i);

#endif
