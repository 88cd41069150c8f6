libfsmoe_core_la_SOURCES += \
	src/step/gradients.c \
	src/step/gradients.h \
	src/step/optimizer.c \
	src/step/optimizer.h \
	src/step/plan_step.c \
	src/step/step.c \
	src/step/step.h \
	src/step/train_opts.c
