# The settings of a run: presets, files, the environment, the command line.
if HAVE_CMOCKA
check_PROGRAMS += tests/config/config
TESTS += tests/config/config
tests_config_config_SOURCES = tests/config/config.c tests/base/unit.h
tests_config_config_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
endif
