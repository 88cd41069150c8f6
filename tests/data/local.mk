# Data files, and what a text is worth without a model.
check_PROGRAMS += tests/data/trigram
tests_data_trigram_LDADD = libfsmoe_core.la -lm
TESTS += tests/data/trigram

if HAVE_CMOCKA
data_tests = tests/data/objective tests/data/tokens tests/data/windows
check_PROGRAMS += $(data_tests)
TESTS += $(data_tests)
tests_data_objective_SOURCES = tests/data/objective.c tests/base/unit.h
tests_data_objective_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
tests_data_tokens_SOURCES = tests/data/tokens.c tests/base/unit.h
tests_data_tokens_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
tests_data_windows_SOURCES = tests/data/windows.c tests/base/unit.h
tests_data_windows_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
endif
