# Measurements on GPUs: built by `make check` where CUDA is, bundled and run by hand.
EXTRA_DIST += bench/gpu/bundle.sh bench/gpu/run.sh bench/gpu/env.sh bench/gpu/pair.sh \
	bench/gpu/faults.sh bench/gpu/all.sh bench/gpu/claims.py bench/gpu/late.c bench/gpu/lost.c \
	bench/gpu/blas.c bench/gpu/results/claims.csv bench/gpu/results/pair.csv
if HAVE_CUDA
check_PROGRAMS += bench/gpu/executors bench/gpu/products
bench_gpu_products_LDADD = libfsmoe_core.la -lm
bench_gpu_executors_CPPFLAGS = $(AM_CPPFLAGS) $(STARPU_CFLAGS)
bench_gpu_executors_LDADD = libfsmoe_core.la
gpu_programs = fsmoe$(EXEEXT) bench/gpu/executors$(EXEEXT) bench/gpu/products$(EXEEXT)
endif

## gpu-bundle: programs for a bare GPU machine and the libraries they need, in build-gpu
.PHONY: gpu-bundle
gpu-bundle: $(gpu_programs) $(check_cuda_program)
	top_srcdir='$(abs_top_srcdir)' top_builddir='$(abs_top_builddir)' CC='$(CC)' \
		$(SHELL) $(top_srcdir)/bench/gpu/bundle.sh $(GPU_BUNDLE)
