# Jobs of several MPI ranks: collectives, and ranks that are stopped or killed.
check_PROGRAMS += tests/comm/mpi tests/comm/pieces tests/comm/foreign-mpi \
	tests/comm/emulated_link \
	tests/comm/watch-victim
tests_comm_mpi_SOURCES = tests/comm/mpi.c tests/comm/collectives.c \
	tests/comm/collectives.h tests/comm/measure.c tests/comm/measure.h \
	tests/comm/check.h
tests_comm_mpi_LDADD = libfsmoe_core.la -lpthread
# mpi with messages of at most 1000 bytes, as if 2 GiB were exceeded.
tests_comm_pieces_SOURCES = $(tests_comm_mpi_SOURCES) src/comm/mpi.c \
	src/comm/mpi_messages.c
tests_comm_pieces_CPPFLAGS = $(AM_CPPFLAGS) $(MPI_CFLAGS) -DFSMOE_MPI_PIECE=1000
tests_comm_pieces_LDADD = libfsmoe_core.la -lpthread
tests_comm_emulated_link_SOURCES = tests/comm/emulated_link.c tests/comm/check.h
tests_comm_emulated_link_LDADD = libfsmoe_core.la
tests_comm_foreign_mpi_SOURCES = tests/comm/foreign-mpi.c tests/comm/check.h
tests_comm_foreign_mpi_CPPFLAGS = $(AM_CPPFLAGS) $(MPI_CFLAGS)
tests_comm_foreign_mpi_LDADD = libfsmoe_core.la $(MPI_LIBS)
tests_comm_watch_victim_CPPFLAGS = $(AM_CPPFLAGS) $(MPI_CFLAGS)
tests_comm_watch_victim_SOURCES = tests/comm/watch-victim.c tests/comm/check.h
tests_comm_watch_victim_LDADD = libfsmoe_core.la $(MPI_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/comm/pattern
TESTS += tests/comm/pattern
tests_comm_pattern_SOURCES = tests/comm/pattern.c
tests_comm_pattern_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_comm_pattern_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
endif

comm_tests = tests/comm/collectives.sh tests/comm/watch.sh
TESTS += $(comm_tests)
dist_check_SCRIPTS += $(comm_tests) tests/lib/mpi-run
