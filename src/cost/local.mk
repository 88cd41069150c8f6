libfsmoe_core_la_SOURCES +=
