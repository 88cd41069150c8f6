# Measures the cost of tasks through the runtime.
libfsmoe_core_la_SOURCES += \
	src/measure/sampler.c src/measure/sampler.h \
	src/measure/collectives.c \
	src/measure/drift.c \
	src/measure/layers.c \
	src/measure/measure.c \
	src/measure/samples.c src/measure/samples.h
