/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CLOCK_SYNC_H
#define FSMOE_CLOCK_SYNC_H

#include "comm/comm.h"

/*
 * How far this rank's clock (base/clock.h) is ahead of rank 0's, in seconds, and the most by which
 * that may be wrong. Ranks of one host have one clock: exactly 0. Others: a value that was read
 * before a message left cannot be later than when it arrived, in either direction; the narrowest
 * pair of bounds of a few dozen exchanges, and the middle between them. Collective over `world`.
 */
int fsmoe_comm_sync_clock(struct fsmoe_comm *world, double *offset, double *error);

#endif
