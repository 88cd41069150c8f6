libfsmoe_core_la_SOURCES += src/topo/topo.c src/topo/describe.c src/topo/groups.c \
	src/topo/mpi.c src/topo/topo.h src/topo/mpi.h
