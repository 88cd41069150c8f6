libfsmoe_core_la_SOURCES += \
	src/model/model.c \
	src/model/spec.c
