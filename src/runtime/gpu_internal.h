/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_GPU_INTERNAL_H
#define FSMOE_GPU_INTERNAL_H

#include "runtime/gpu.h"
#include "runtime/lanes.h"

struct fsmoe_gpu
{
	int device;
	fsmoe_comms_t comms;
	int timing, tf32;
	enum fsmoe_real real;
	double peak;
	struct fsmoe_lanes lanes;
	cudaEvent_t ended[FSMOE_NLANES]; /* after the last task of a lane */
	int running;                     /* a step was begun and not waited for */
};

/* Events around every node that runs on the GPU; what they count from, on both clocks. */
struct fsmoe_marks
{
	cudaEvent_t *begin, *end, zero;
	double clock;
};

#endif
