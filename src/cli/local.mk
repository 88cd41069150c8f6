bin_PROGRAMS += fsmoe
fsmoe_SOURCES = src/cli/main.c src/cli/cli.h \
	src/cli/fail.c \
	src/cli/help.c \
	src/cli/info.c \
	src/cli/train.c
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
