libfsmoe_core_la_SOURCES += \
	src/plan/adaptive.c \
	src/plan/bound.c src/plan/bound.h \
	src/plan/cut.c \
	src/plan/exchange.c src/plan/exchange.h \
	src/plan/file.c src/plan/from_json.h \
	src/plan/graph_cost.c \
	src/plan/grid.c src/plan/grid.h \
	src/plan/layer.c src/plan/layer.h \
	src/plan/partition.c src/plan/partition.h \
	src/plan/plan.c \
	src/plan/send.c \
	src/plan/shares.c src/plan/shares.h \
	src/plan/sizes.c \
	src/plan/spread.c
