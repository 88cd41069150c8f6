libfsmoe_core_la_SOURCES += \
	src/train/batch_shard.c src/train/batch_shard.h \
	src/train/dispatch.c \
	src/train/eval.c src/train/eval.h \
	src/train/expert_load.c src/train/expert_load.h \
	src/train/flops.c src/train/flops.h \
	src/train/memory_estimate.c src/train/memory_estimate.h \
	src/train/metrics.c src/train/metrics.h \
	src/train/nonfinite.c src/train/nonfinite.h \
	src/train/plan_agree.c src/train/plan_agree.h \
	src/train/replan.c \
	src/train/trainer.c src/train/trainer.h
