libfsmoe_core_la_SOURCES += src/comm/align.c src/comm/align.h src/comm/comm.c src/comm/sum.c src/comm/self.c src/comm/mpi.c \
	src/comm/mpi_comm.h src/comm/mpi_messages.c src/comm/paced.c \
	src/comm/watch.c src/comm/watch-timer.c src/comm/watch-line.c src/comm/watch-peers.c \
	src/comm/pattern.c src/comm/comm.h src/comm/device.h src/comm/pattern.h src/comm/watch.h src/comm/watch-state.h

if HAVE_CUDA
libfsmoe_core_la_SOURCES += src/comm/nccl.c src/comm/nccl_comm.h
endif
if HAVE_NCCL_WINDOWS
libfsmoe_core_la_SOURCES += src/comm/nccl_window.c
else
libfsmoe_core_la_SOURCES += src/comm/window_absent.c
if HAVE_CUDA
libfsmoe_core_la_SOURCES += src/comm/nccl_window_absent.c
endif
endif
