libfsmoe_core_la_SOURCES += \
	src/config/config.c src/config/config.h \
	src/config/describe.c src/config/describe.h \
	src/config/follow.c \
	src/config/manifest_options.c src/config/manifest_options.h \
	src/config/options.c
