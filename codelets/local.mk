# Kernels: every file is compiled twice, for float and for double.
kernel_sources = codelets/cpu/real.h
noinst_LTLIBRARIES += libkernels_f32.la libkernels_f64.la
libkernels_f32_la_SOURCES = $(kernel_sources)
libkernels_f32_la_CPPFLAGS = $(AM_CPPFLAGS) $(BLAS_CFLAGS) -DFSMOE_KERNEL_REAL=32
libkernels_f64_la_SOURCES = $(kernel_sources)
libkernels_f64_la_CPPFLAGS = $(AM_CPPFLAGS) $(BLAS_CFLAGS) -DFSMOE_KERNEL_REAL=64
libfsmoe_core_la_LIBADD += libkernels_f32.la libkernels_f64.la

# Operations.
libfsmoe_core_la_SOURCES +=
