/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "runtime/bind.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <hwloc.h>

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

/* The logical numbers of the processing units this process may run on, in order. */
static int allowed_units(hwloc_topology_t topology, int *unit, int room)
{
	hwloc_bitmap_t allowed = hwloc_bitmap_alloc();
	hwloc_obj_t object = NULL;
	int n = 0;

	if (hwloc_get_cpubind(topology, allowed, HWLOC_CPUBIND_PROCESS))
		hwloc_bitmap_copy(allowed, hwloc_topology_get_allowed_cpuset(topology));
	while ((object = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_PU, object)) && n < room)
		if (hwloc_bitmap_isset(allowed, object->os_index))
			unit[n++] = (int)object->logical_index;
	hwloc_bitmap_free(allowed);
	return n;
}

int fsmoe_binding_find(struct fsmoe_binding *binding, int host_rank, int host_size, int wanted)
{
	enum
	{
		MOST = 4096
	};
	int unit[MOST];
	hwloc_topology_t topology;
	int n, share;

	if (hwloc_topology_init(&topology))
		return fsmoe_fail(ENOMEM, "hwloc did not start");
	if (hwloc_topology_load(topology))
	{
		hwloc_topology_destroy(topology);
		return fsmoe_fail(EIO, "hwloc could not read this machine's topology");
	}
	n = allowed_units(topology, unit, MOST);
	hwloc_topology_destroy(topology);
	share = n / host_size;
	*binding = (struct fsmoe_binding){.cores = share > 0 ? share : 1};
	if (!wanted || share < FSMOE_NLANES)
		return 0;
	/* Communication on the last cores of the share, so that BLAS threads have the first. */
	binding->bound = 1;
	binding->cores = share - 2;
	binding->core[FSMOE_COMPUTE] = unit[host_rank * share];
	binding->core[FSMOE_INTRA] = unit[host_rank * share + share - 2];
	binding->core[FSMOE_INTER] = unit[host_rank * share + share - 1];
	/* It never sleeps. Where the GPU computes, the CPU's communication workers do. */
	binding->gpu_core = binding->core[FSMOE_INTER];
	return 0;
}
