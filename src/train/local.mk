libfsmoe_core_la_SOURCES += \
	src/train/agree.c src/train/agree.h \
	src/train/boundary.c src/train/boundary.h \
	src/train/eval.c src/train/eval.h \
	src/train/finite.c src/train/finite.h \
	src/train/flops.c src/train/flops.h \
	src/train/generate.c src/train/generate.h \
	src/train/metrics.c src/train/metrics.h \
	src/train/need.c src/train/need.h \
	src/train/sample.c \
	src/train/share.c src/train/share.h \
	src/train/trainer.c src/train/trainer.h
