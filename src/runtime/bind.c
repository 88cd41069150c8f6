/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "runtime/bind.h"

#include <errno.h>
#include <fsmoe/error.h>

#ifdef HAVE_OPENBLAS_SET_NUM_THREADS
void openblas_set_num_threads(int n);
#endif

void fsmoe_blas_threads(int n)
{
#ifdef HAVE_OPENBLAS_SET_NUM_THREADS
	openblas_set_num_threads(n);
#else
	(void)n;
#endif
}

/* The cores that the process may run on. */
static hwloc_bitmap_t allowed_set(hwloc_topology_t topology)
{
	hwloc_bitmap_t allowed = hwloc_bitmap_alloc();

	if (allowed && hwloc_get_cpubind(topology, allowed, HWLOC_CPUBIND_PROCESS))
		hwloc_bitmap_copy(allowed, hwloc_topology_get_allowed_cpuset(topology));
	return allowed;
}

/* Its processing units, in order. */
static int units_of(hwloc_topology_t topology, hwloc_const_bitmap_t allowed, hwloc_obj_t *unit,
		    int room)
{
	hwloc_obj_t object = NULL;
	int n = 0;

	while ((object = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_PU, object)) && n < room)
		if (hwloc_bitmap_isset(allowed, object->os_index))
			unit[n++] = object;
	return n;
}

/* All threads that there are, and so those that they make. */
static void bind_process(struct fsmoe_binding *b, hwloc_obj_t *unit, int n)
{
	hwloc_bitmap_t share = hwloc_bitmap_alloc();

	for (int i = 0; share && i < n; i++)
		hwloc_bitmap_or(share, share, unit[i]->cpuset);
	/* Where that is not allowed threads stay free, which is slower and no failure. */
	if (share)
		hwloc_set_cpubind(b->topology, share, HWLOC_CPUBIND_PROCESS);
	hwloc_bitmap_free(share);
}

int fsmoe_binding_take(struct fsmoe_binding *b, int host_rank, int host_size, int wanted)
{
	enum
	{
		MOST = 4096
	};
	hwloc_obj_t unit[MOST], *mine;
	int share;

	*b = (struct fsmoe_binding){.cores = 1};
	if (hwloc_topology_init(&b->topology))
		return fsmoe_fail(ENOMEM, "hwloc did not start");
	if (hwloc_topology_load(b->topology))
		return fsmoe_fail(EIO, "hwloc could not read this machine's topology");
	b->before = allowed_set(b->topology);
	if (!b->before)
		return fsmoe_fail(ENOMEM, "no memory for a set of cores");
	share = units_of(b->topology, b->before, unit, MOST) / host_size;
	b->cores = share > 0 ? share : 1;
	if (!wanted || share < FSMOE_NLANES)
		return 0;
	/* Communication on the last cores of the share, so that BLAS threads have the first. */
	mine = unit + host_rank * share;
	b->bound = 1;
	b->cores = share - 2;
	b->core[FSMOE_COMPUTE] = (int)mine[0]->logical_index;
	b->core[FSMOE_INTRA] = (int)mine[share - 2]->logical_index;
	b->core[FSMOE_INTER] = (int)mine[share - 1]->logical_index;
	/* It never sleeps. Where the GPU computes, the CPU's communication workers do. */
	b->gpu_core = b->core[FSMOE_INTER];
	bind_process(b, mine, share);
	return 0;
}

void fsmoe_binding_release(struct fsmoe_binding *b)
{
	if (b->bound)
		hwloc_set_cpubind(b->topology, b->before, HWLOC_CPUBIND_PROCESS);
	hwloc_bitmap_free(b->before);
	if (b->topology)
		hwloc_topology_destroy(b->topology);
	*b = (struct fsmoe_binding){0};
}
