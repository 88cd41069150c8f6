libfsmoe_core_la_SOURCES += \
	src/schedule/load.c \
	src/schedule/table.c
