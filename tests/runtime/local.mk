# The StarPU side.
check_PROGRAMS += tests/runtime/held tests/runtime/measure_np4 tests/runtime/models \
	tests/runtime/record tests/runtime/restart tests/runtime/trace tests/runtime/vector \
	tests/runtime/walkers
tests_runtime_held_CPPFLAGS = $(AM_CPPFLAGS) $(STARPU_CFLAGS)
tests_runtime_held_LDADD = libfsmoe_core.la
TESTS += tests/runtime/held
tests_runtime_measure_np4_LDADD = libfsmoe_core.la
TESTS += tests/runtime/measure_np4
tests_runtime_models_CPPFLAGS = $(AM_CPPFLAGS) $(STARPU_CFLAGS)
tests_runtime_models_LDADD = libfsmoe_core.la -lm
tests_runtime_record_SOURCES = tests/runtime/record.c tests/lib/random_graph.c \
	tests/lib/random_graph.h
tests_runtime_record_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_runtime_record_LDADD = libfsmoe_core.la $(JANSSON_LIBS) -lm
tests_runtime_restart_LDADD = libfsmoe_core.la
tests_runtime_trace_LDADD = libfsmoe_core.la
tests_runtime_vector_CPPFLAGS = $(AM_CPPFLAGS) $(STARPU_CFLAGS)
tests_runtime_vector_LDADD = libfsmoe_core.la $(STARPU_LIBS)
TESTS += tests/runtime/vector
tests_runtime_walkers_SOURCES = tests/runtime/walkers.c tests/lib/random_graph.c \
	tests/lib/random_graph.h
tests_runtime_walkers_LDADD = libfsmoe_core.la
if HAVE_CMOCKA
check_PROGRAMS += tests/runtime/symmetric
TESTS += tests/runtime/symmetric
tests_runtime_symmetric_SOURCES = tests/runtime/symmetric.c tests/base/unit.h
tests_runtime_symmetric_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_runtime_symmetric_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
endif
runtime_tests = tests/runtime/profile-lines.sh tests/runtime/events.sh \
	tests/runtime/start-again.sh tests/runtime/sched-lib.sh tests/runtime/traces.sh \
	tests/runtime/walkers-agree.sh
TESTS += $(runtime_tests)
dist_check_SCRIPTS += $(runtime_tests)
