libfsmoe_core_la_SOURCES += \
	src/train/agree.c src/train/agree.h \
	src/train/objective.c src/train/objective.h \
	src/train/boundary.c src/train/boundary.h \
	src/train/checkpoint.c src/train/checkpoint.h \
	src/train/checkpoint_folder.c \
	src/train/checkpoint_load.c \
	src/train/checkpoint_map.c \
	src/train/checkpoint_match.c src/train/checkpoint_match.h \
	src/train/checkpoint_names.c \
	src/train/checkpoint_save.c \
	src/train/checksum.c src/train/checksum.h \
	src/train/config.c src/train/config.h \
	src/train/config_follow.c \
	src/train/crc32c.c src/train/crc32c.h \
	src/train/data.c src/train/data.h \
	src/train/describe.c src/train/describe.h \
	src/train/data_file.c src/train/data_file.h \
	src/train/eval.c src/train/eval.h \
	src/train/finite.c src/train/finite.h \
	src/train/flops.c src/train/flops.h \
	src/train/generate.c src/train/generate.h \
	src/train/manifest.c src/train/manifest.h \
	src/train/manifest_options.c src/train/manifest_options.h \
	src/train/metrics.c src/train/metrics.h \
	src/train/need.c src/train/need.h \
	src/train/options.c \
	src/train/sample.c \
	src/train/safetensors.c src/train/safetensors.h \
	src/train/share.c src/train/share.h \
	src/train/sources.c src/train/sources.h \
	src/train/trainer.c src/train/trainer.h
