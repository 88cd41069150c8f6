libfsmoe_core_la_SOURCES += src/base/error.c
