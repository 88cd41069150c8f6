libfsmoe_core_la_SOURCES += \
	src/config/checkpoint_config.c src/config/checkpoint_config.h \
	src/config/config.c src/config/config.h \
	src/config/options.c \
	src/config/run_json.c src/config/run_json.h
