# The GPU side. Built where CUDA is, run by `make check-cuda` where a GPU is.
if HAVE_CUDA
if HAVE_CMOCKA
check_PROGRAMS += tests/cuda/check-cuda
tests_cuda_check_cuda_SOURCES = tests/cuda/check-cuda.c tests/cuda/check.h \
	tests/cuda/cases-ops.c tests/cuda/cases-moe.c tests/cuda/cases-gates.c \
	tests/cuda/opcase_cuda.c tests/cuda/count.c tests/cuda/training.c tests/cuda/bf16.c \
	tests/cuda/band.c tests/cuda/replan.c tests/cuda/room.c tests/cuda/large.c \
	tests/cuda/share.c tests/cuda/share.h $(step_job_sources) tests/ops/cases-attention.c \
	tests/ops/cases-dense.c tests/ops/cases-optimizer.c tests/ops/cases-token.c \
	tests/moe/reference.c tests/moe/pairs.c tests/moe/gates.c tests/lib/opcase.c \
	tests/lib/opcase_access.c tests/lib/opcase_graph.c tests/lib/opcase_ops.c
tests_cuda_check_cuda_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/ops \
	-I$(top_srcdir)/tests/moe $(CMOCKA_CFLAGS)
tests_cuda_check_cuda_LDADD = libfsmoe_core.la $(CMOCKA_LIBS) -ldl
check_cuda_program = tests/cuda/check-cuda$(EXEEXT)
endif
endif

## check-cuda: CUDA kernels and the stream walker against the CPU, on this machine's GPU
.PHONY: check-cuda
check-cuda: $(check_cuda_program)
	@if test -z '$(check_cuda_program)'; then \
		echo "check-cuda: skipped, this build has no CUDA or no cmocka"; exit 77; fi; \
	$(SHELL) $(top_srcdir)/tests/lib/run-test ./$(check_cuda_program)
