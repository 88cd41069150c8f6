libfsmoe_core_la_SOURCES += \
	src/data/checksum.c src/data/checksum.h \
	src/data/data.c src/data/data.h \
	src/data/file.c src/data/file.h \
	src/data/objective.c src/data/objective.h \
	src/data/sources.c src/data/sources.h
