libfsmoe_core_la_SOURCES += \
	src/generate/generate.c src/generate/generate.h \
	src/generate/sample.c
