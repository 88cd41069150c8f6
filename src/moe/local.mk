libfsmoe_core_la_SOURCES += \
	src/moe/dispatch/flat.c \
	src/moe/expert/gpt.c \
	src/moe/gate/topk.c \
	src/moe/layer.c \
	src/moe/layer.h \
	src/moe/modules.c \
	src/moe/modules.h \
	src/moe/order/sparse.c \
	src/moe/routing.c
