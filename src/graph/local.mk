libfsmoe_core_la_SOURCES += \
	src/graph/append.c \
	src/graph/backward.c \
	src/graph/basic.c \
	src/graph/basic.h \
	src/graph/edges.c \
	src/graph/execute.c \
	src/graph/export.c \
	src/graph/exposed.c \
	src/graph/fresh.c \
	src/graph/fresh.h \
	src/graph/graph.c \
	src/graph/graph.h \
	src/graph/held.c \
	src/graph/memory.c \
	src/graph/memory.h \
	src/graph/param.c \
	src/graph/perfetto.c \
	src/graph/shapes.c \
	src/graph/shapes.h \
	src/graph/simulate.c \
	src/graph/tensor.c \
	src/graph/work.c
