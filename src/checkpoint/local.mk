libfsmoe_core_la_SOURCES += \
	src/checkpoint/checkpoint.c src/checkpoint/checkpoint.h \
	src/checkpoint/folder.c \
	src/checkpoint/load.c \
	src/checkpoint/manifest.c src/checkpoint/manifest.h \
	src/checkpoint/map.c \
	src/checkpoint/match.c src/checkpoint/match.h \
	src/checkpoint/names.c \
	src/checkpoint/resume.c src/checkpoint/resume.h \
	src/checkpoint/safetensors.c src/checkpoint/safetensors.h \
	src/checkpoint/save.c \
	src/checkpoint/transfer.c
