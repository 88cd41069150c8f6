# `fsmoe bench`: one layer, and schedules in turn; the command line is in src/cli/bench_*.c.
libfsmoe_core_la_SOURCES += \
	src/bench/layer.c src/bench/layer.h \
	src/bench/layer_check.c \
	src/bench/layer_graph.c \
	src/bench/layer_time.c \
	src/bench/noise.h \
	src/bench/schedule.c src/bench/schedule.h
