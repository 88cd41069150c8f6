libfsmoe_core_la_SOURCES += src/base/error.c \
	src/base/clock.c src/base/clock.h \
	src/base/crc32c.c src/base/crc32c.h \
	src/base/file.c src/base/file.h \
	src/base/hash.h \
	src/base/json.c src/base/json.h \
	src/base/json_reader.c src/base/json_reader.h \
	src/base/log.c src/base/log.h \
	src/base/suggest.c src/base/suggest.h \
	src/base/options.c src/base/options_help.c src/base/options.h \
	src/base/option_rows.c src/base/option_rows.h \
	src/base/parallel.c src/base/parallel.h \
	src/base/rng.c src/base/rng.h
