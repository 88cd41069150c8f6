libfsmoe_core_la_SOURCES += \
	src/train/config.c src/train/config.h \
	src/train/data.c src/train/data.h \
	src/train/metrics.c src/train/metrics.h \
	src/train/sources.c src/train/sources.h \
	src/train/trainer.c
