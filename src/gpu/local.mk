libfsmoe_core_la_SOURCES += src/gpu/symmetric.c src/gpu/symmetric.h

if HAVE_CUDA
libfsmoe_core_la_SOURCES += \
	src/gpu/device.c src/gpu/device.h src/gpu/device_internal.h \
	src/gpu/early_release.c src/gpu/early_release.h \
	src/gpu/executor_stream.c \
	src/gpu/gpu.c src/gpu/gpu_copy.c src/gpu/gpu_internal.h src/gpu/gpu_task.c \
	src/gpu/lanes.c src/gpu/lanes.h \
	src/gpu/stream.c src/gpu/stream_host.c src/gpu/stream_make.c \
	src/gpu/symmetric_window.c
endif
