libfsmoe_core_la_SOURCES += src/comm/clock_sync.c src/comm/clock_sync.h src/comm/comm.c \
	src/comm/comm.h src/comm/emulated_link.c src/comm/mpi.c src/comm/mpi_comm.h \
	src/comm/mpi_messages.c src/comm/nccl.h src/comm/pattern.c src/comm/pattern.h \
	src/comm/self.c src/comm/sum.c src/comm/watch.c src/comm/watch.h src/comm/watch_line.c \
	src/comm/watch_peers.c src/comm/watch_state.h src/comm/watch_timer.c

if HAVE_CUDA
libfsmoe_core_la_SOURCES += src/comm/nccl.c src/comm/nccl_internal.h
endif
if HAVE_NCCL_WINDOWS
libfsmoe_core_la_SOURCES += src/comm/nccl_window.c
endif
