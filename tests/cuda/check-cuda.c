/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CUDA kernels and the stream walker against the CPU. Arguments: which parts, of ops, moe, gates,
 * large, faults, bf16, band, room, replan, training; none: all. Under mpirun, one rank a GPU, only
 * `replan` and `training` make sense.
 * Exit status 77: no GPU here.
 */
#include "check.h"
#include "gpu/device.h"

#include <fsmoe.h>
#include <stdio.h>
#include <string.h>

static const struct
{
	const char *name;
	int (*run)(void);
	int job; /* of as many ranks as there are */
} parts[] = {
	{"ops", ops_main},           {"moe", moe_main},
	{"gates", gates_main},       {"large", check_large},
	{"faults", check_faults},    {"bf16", check_bf16},
	{"band", check_band},        {"room", check_room},
	{"replan", check_replan, 1}, {"training", check_training, 1},
};

static int wanted(int argc, char **argv, const char *name)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], name))
			return 1;
	return argc == 1;
}

int main(int argc, char **argv)
{
	fsmoe_topo_t job = NULL; /* while there is one, MPI can be used by one part after another */
	int bad = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (fsmoe_device_count() == 0)
	{
		printf("check-cuda: skipped, there is no GPU here\n");
		return 77;
	}
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (!job && parts[i].job && wanted(argc, argv, parts[i].name) &&
		    fsmoe_topo_create(&job, NULL, 0))
			return 99;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
	{
		if (!wanted(argc, argv, parts[i].name))
			continue;
		int failed = parts[i].run();
		printf("check-cuda %s: %d failures\n", parts[i].name, failed);
		bad += failed;
	}
	fsmoe_topo_destroy(job);
	return bad ? 1 : 0;
}
