fsmoe_HEADERS += include/fsmoe/starpu.h
libfsmoe_core_la_SOURCES += \
	src/runtime/agree.c \
	src/runtime/alike.c \
	src/runtime/bf16.c \
	src/runtime/bf16.h \
	src/runtime/bind.c \
	src/runtime/bind.h \
	src/runtime/chain.c \
	src/runtime/codelet.c \
	src/runtime/data.c \
	src/runtime/data.h \
	src/runtime/executor_starpu.c \
	src/runtime/gpu.h \
	src/runtime/handle.c \
	src/runtime/inside.h \
	src/runtime/models.c \
	src/runtime/observe.c \
	src/runtime/policy.c \
	src/runtime/policy.h \
	src/runtime/program.c \
	src/runtime/record.c \
	src/runtime/room.c \
	src/runtime/runtime.h \
	src/runtime/start.c \
	src/runtime/submit.c \
	src/runtime/symmetric.c \
	src/runtime/symmetric.h \
	src/runtime/units.h \
	src/runtime/trace.c \
	src/runtime/trace.h \
	src/runtime/trace_mark.c \
	src/runtime/trace_mark.h \
	src/runtime/trace_files.c \
	src/runtime/trace_files.h \
	src/runtime/trace_paje.c \
	src/runtime/trace_paje.h \
	src/runtime/version.h \
	src/runtime/waits.c \
	src/runtime/waits.h

if HAVE_CUDA
libfsmoe_core_la_SOURCES += \
	src/runtime/ahead.c \
	src/runtime/ahead.h \
	src/runtime/device.c \
	src/runtime/device.h \
	src/runtime/device_internal.h \
	src/runtime/executor_stream.c \
	src/runtime/gpu.c \
	src/runtime/gpu_copy.c \
	src/runtime/gpu_internal.h \
	src/runtime/gpu_task.c \
	src/runtime/lanes.c \
	src/runtime/lanes.h \
	src/runtime/stream.c \
	src/runtime/stream_host.c \
	src/runtime/stream_make.c
else
libfsmoe_core_la_SOURCES += src/runtime/gpu_absent.c
endif

# The policy alone, for STARPU_SCHED_LIB; StarPU 1.3 does not know that.
if HAVE_SCHED_LIB
pkglib_LTLIBRARIES = libfsmoe-sched.la
libfsmoe_sched_la_SOURCES = src/runtime/sched_lib.c src/runtime/policy.c src/runtime/policy.h \
	src/base/clock.c src/base/clock.h
libfsmoe_sched_la_CPPFLAGS = $(AM_CPPFLAGS) $(STARPU_CFLAGS)
libfsmoe_sched_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared \
	-export-symbols-regex '^starpu_get_sched_lib_'
libfsmoe_sched_la_LIBADD = $(STARPU_LIBS) -lpthread
endif
