# Kernels: every file is compiled twice, for float and for double.
kernel_sources = codelets/cpu/real.h
kernel_sources += codelets/cpu/exp.h codelets/cpu/gelu.h
kernel_sources += codelets/cpu/embedding.c
kernel_sources += codelets/cpu/layer_norm.c
kernel_sources += codelets/cpu/linear.c
kernel_sources += codelets/cpu/gelu.c
kernel_sources += codelets/cpu/attention.c
kernel_sources += codelets/cpu/residual.c
kernel_sources += codelets/cpu/cross_entropy.c
kernel_sources += codelets/cpu/optimizer.c
kernel_sources += codelets/cpu/collective.c
kernel_sources += codelets/cpu/gate_topk.c
kernel_sources += codelets/cpu/order.c
kernel_sources += codelets/cpu/expert_gpt.c
noinst_LTLIBRARIES += libkernels_f32.la libkernels_f64.la
libkernels_f32_la_SOURCES = $(kernel_sources)
libkernels_f32_la_CPPFLAGS = $(AM_CPPFLAGS) $(BLAS_CFLAGS) -DFSMOE_KERNEL_REAL=32
libkernels_f64_la_SOURCES = $(kernel_sources)
libkernels_f64_la_CPPFLAGS = $(AM_CPPFLAGS) $(BLAS_CFLAGS) -DFSMOE_KERNEL_REAL=64
libfsmoe_core_la_LIBADD += libkernels_f32.la libkernels_f64.la

# Operations.
libfsmoe_core_la_SOURCES += codelets/kernels.h
libfsmoe_core_la_SOURCES += codelets/shape.c codelets/shape.h
libfsmoe_core_la_SOURCES += codelets/embedding.c codelets/embedding.h
libfsmoe_core_la_SOURCES += codelets/layer_norm.c codelets/layer_norm.h
libfsmoe_core_la_SOURCES += codelets/linear.c codelets/linear.h
libfsmoe_core_la_SOURCES += codelets/gelu.c codelets/gelu.h
libfsmoe_core_la_SOURCES += codelets/attention.c codelets/attention.h
libfsmoe_core_la_SOURCES += codelets/residual.c codelets/residual.h
libfsmoe_core_la_SOURCES += codelets/cross_entropy.c codelets/cross_entropy.h
libfsmoe_core_la_SOURCES += codelets/optimizer.c codelets/optimizer.h
libfsmoe_core_la_SOURCES += codelets/collective.c codelets/collective.h
libfsmoe_core_la_SOURCES += codelets/cuts.h
libfsmoe_core_la_SOURCES += codelets/gate_topk.c codelets/gate_topk.h
libfsmoe_core_la_SOURCES += codelets/order.c codelets/order.h
libfsmoe_core_la_SOURCES += codelets/expert_gpt.c codelets/expert_gpt.h
