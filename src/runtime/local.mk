fsmoe_HEADERS += include/fsmoe/starpu.h
libfsmoe_core_la_SOURCES += \
	src/runtime/agree.c \
	src/runtime/bf16.c \
	src/runtime/bf16.h \
	src/runtime/bind.c \
	src/runtime/bind.h \
	src/runtime/codelet.c \
	src/runtime/data.c \
	src/runtime/data.h \
	src/runtime/executor_starpu.c \
	src/runtime/fuse_tasks.c \
	src/runtime/gpu_memory_estimate.c \
	src/runtime/gpu_ops.h \
	src/runtime/handle.c \
	src/runtime/introspect.h \
	src/runtime/merge_handles.c \
	src/runtime/models.c \
	src/runtime/observe.c \
	src/runtime/policy.c \
	src/runtime/policy.h \
	src/runtime/program.c \
	src/runtime/record.c \
	src/runtime/runtime_internal.h \
	src/runtime/start.c \
	src/runtime/stream_sync.c \
	src/runtime/stream_sync.h \
	src/runtime/submit.c \
	src/runtime/trace.c \
	src/runtime/trace.h \
	src/runtime/units.h \
	src/runtime/version.h

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
