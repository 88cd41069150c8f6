bin_PROGRAMS += fsmoe
fsmoe_SOURCES = src/cli/main.c src/cli/cli.h \
	src/cli/sigabrt.c src/cli/sigabrt.h \
	src/cli/bench.c src/cli/bench_layer.c src/cli/bench_schedule.c \
	src/cli/breakdown.c \
	src/cli/checksum.c \
	src/cli/commands.c \
	src/cli/explain.c \
	src/cli/fail.c \
	src/cli/generate.c \
	src/cli/help.c \
	src/cli/info.c \
	src/cli/plan.c \
	src/cli/planning.c src/cli/planning.h \
	src/cli/profile.c src/cli/profile.h \
	src/cli/profile_print.c \
	src/cli/progress.c src/cli/progress.h \
	src/cli/report.c \
	src/cli/signals.c src/cli/signals.h \
	src/cli/simulate.c \
	src/cli/trace.c src/cli/trace.h \
	src/cli/train.c src/cli/train.h \
	src/cli/train_observe.c \
	src/cli/train_plan.c \
	src/cli/train_steps.c
fsmoe_CPPFLAGS = $(AM_CPPFLAGS) $(BLAS_CFLAGS)
fsmoe_LDADD = libfsmoe_core.la

# For the program alone; <mpi.h> stays in src/topo.
libfsmoe_core_la_SOURCES += \
	src/topo/abort.c src/topo/abort.h \
	src/topo/version.c src/topo/version.h

nodist_man1_MANS = doc/fsmoe.1
doc/fsmoe.1: fsmoe$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) doc && env -u FSMOE_BLAS_THREADS -u FSMOE_BIND -u FSMOE_TIMEOUT \
		./fsmoe$(EXEEXT) help --man >$@.part && mv $@.part $@
CLEANFILES += doc/fsmoe.1
