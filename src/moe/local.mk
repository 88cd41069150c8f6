libfsmoe_core_la_SOURCES += \
	src/moe/dispatch/1dh.c \
	src/moe/dispatch/2dh.c \
	src/moe/dispatch/flat.c \
	src/moe/dispatch/parts.c \
	src/moe/dispatch/parts.h \
	src/moe/expert/mlp.c \
	src/moe/expert/swiglu.c \
	src/moe/expert/param.c \
	src/moe/gate/cosine.c \
	src/moe/gate/expert_choice.c \
	src/moe/gate/gshard.c \
	src/moe/gate/parts.c \
	src/moe/gate/sigmoid.c \
	src/moe/gate/softmoe.c \
	src/moe/gate/topk.c \
	src/moe/gate/xmoe.c \
	src/moe/hooks.c \
	src/moe/hooks.h \
	src/moe/layer.c \
	src/moe/layer.h \
	src/moe/make.c \
	src/moe/moe.h \
	src/moe/modules.c \
	src/moe/modules.h \
	src/moe/order/einsum.c \
	src/moe/order/sparse.c \
	src/moe/routing.c
