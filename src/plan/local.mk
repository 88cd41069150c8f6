libfsmoe_core_la_SOURCES += \
	src/plan/gradient_dp.c \
	src/plan/gradient_list.c src/plan/gradient_list.h \
	src/plan/gradient_steady.c \
	src/plan/gradient_windows.c src/plan/gradient_windows.h \
	src/plan/graph_cost.c \
	src/plan/grid.c src/plan/grid.h \
	src/plan/layer_walk.c src/plan/layer_walk.h \
	src/plan/placement.c src/plan/placement.h \
	src/plan/plan.c \
	src/plan/plan_file.c src/plan/plan_json.h \
	src/plan/sizes.c
