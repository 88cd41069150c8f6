libfsmoe_core_la_SOURCES += \
	src/model/count.c \
	src/model/forward.c src/model/forward.h \
	src/model/model.c \
	src/model/spec.c
