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
kernel_sources += codelets/cpu/choose.h
kernel_sources += codelets/cpu/gate_scores.c
kernel_sources += codelets/cpu/gate_soft.c
kernel_sources += codelets/cpu/gate_loss.c
kernel_sources += codelets/cpu/route.c
kernel_sources += codelets/cpu/order.c
kernel_sources += codelets/cpu/order_einsum.c
kernel_sources += codelets/cpu/expert_ffn.c codelets/cpu/expert_ffn.h
kernel_sources += codelets/cpu/expert_weight.c
kernel_sources += codelets/cpu/rows.c
noinst_LTLIBRARIES += libkernels_f32.la libkernels_f64.la
libkernels_f32_la_SOURCES = $(kernel_sources)
libkernels_f32_la_CPPFLAGS = $(AM_CPPFLAGS) $(BLAS_CFLAGS) -DFSMOE_KERNEL_REAL=32
libkernels_f64_la_SOURCES = $(kernel_sources)
libkernels_f64_la_CPPFLAGS = $(AM_CPPFLAGS) $(BLAS_CFLAGS) -DFSMOE_KERNEL_REAL=64
libfsmoe_core_la_LIBADD += libkernels_f32.la libkernels_f64.la

# Operations.
libfsmoe_core_la_SOURCES += codelets/kernels.h codelets/all.c
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
libfsmoe_core_la_SOURCES += codelets/chunks.h codelets/cuts.h
libfsmoe_core_la_SOURCES += codelets/filled.h
libfsmoe_core_la_SOURCES += codelets/rows.c codelets/rows.h
libfsmoe_core_la_SOURCES += codelets/gate_scores.c codelets/gate_scores.h
libfsmoe_core_la_SOURCES += codelets/gate_soft.c codelets/gate_soft.h
libfsmoe_core_la_SOURCES += codelets/gate_loss.c codelets/gate_loss.h
libfsmoe_core_la_SOURCES += codelets/route.c codelets/route.h
libfsmoe_core_la_SOURCES += codelets/order.c codelets/order.h
libfsmoe_core_la_SOURCES += codelets/order_einsum.c codelets/order_einsum.h
libfsmoe_core_la_SOURCES += codelets/expert_ffn.c codelets/expert_ffn.h codelets/expert_ffn_check.c
libfsmoe_core_la_SOURCES += codelets/expert_mlp.c codelets/expert_mlp.h
libfsmoe_core_la_SOURCES += codelets/expert_swiglu.c codelets/expert_swiglu.h

# CUDA kernels, in files named as the CPU's.
cuda_sources = codelets/cuda/basic.cu
cuda_sources += codelets/cuda/embedding.cu
cuda_sources += codelets/cuda/layer_norm.cu
cuda_sources += codelets/cuda/linear.cu
cuda_sources += codelets/cuda/gelu.cu
cuda_sources += codelets/cuda/attention.cu codelets/cuda/attention_fused.cu
cuda_sources += codelets/cuda/attention_fused_backward.cu
cuda_sources += codelets/cuda/residual.cu
cuda_sources += codelets/cuda/cross_entropy.cu
cuda_sources += codelets/cuda/optimizer.cu
cuda_sources += codelets/cuda/collective.cu
cuda_sources += codelets/cuda/round.cu
cuda_sources += codelets/cuda/gate_scores.cu
cuda_sources += codelets/cuda/gate_soft.cu
cuda_sources += codelets/cuda/gate_loss.cu
cuda_sources += codelets/cuda/route.cu
cuda_sources += codelets/cuda/order.cu
cuda_sources += codelets/cuda/order_einsum.cu
cuda_sources += codelets/cuda/expert_ffn.cu
cuda_sources += codelets/cuda/expert_ffn_weight.cu
cuda_headers = codelets/cuda/attention_fused.cuh codelets/cuda/hopper.cuh
cuda_headers += codelets/cuda/launch.cuh codelets/cuda/reduce.cuh
cuda_headers += codelets/cuda/pieces.cuh codelets/cuda/gelu.cuh codelets/cuda/choose.cuh
cuda_headers += codelets/cuda/rng.cuh codelets/cuda/product.cuh codelets/cuda/logits.cuh
cuda_headers += codelets/cuda/expert_ffn.cuh codelets/cuda/softmax.cuh
EXTRA_DIST += $(cuda_sources) $(cuda_headers)

if HAVE_CUDA
cuda_objects = $(cuda_sources:.cu=.cu.lo)
libfsmoe_core_la_SOURCES += codelets/cuda/fault.c codelets/cuda/fault.h codelets/cuda/round.h
libfsmoe_core_la_SOURCES += codelets/cuda/multiply.c codelets/cuda/product.c \
	codelets/cuda/product.h
libfsmoe_core_la_LIBADD += $(cuda_objects)
EXTRA_libfsmoe_core_la_DEPENDENCIES = $(cuda_objects)
endif

# nvcc does not know libtool's flags: the object is made as libtool would, and its .lo written.
AM_V_NVCC = $(am__v_NVCC_@AM_V@)
am__v_NVCC_ = $(am__v_NVCC_@AM_DEFAULT_V@)
am__v_NVCC_0 = @echo "  NVCC    " $@;
am__v_NVCC_1 =
%.cu.lo: %.cu
	@$(MKDIR_P) $(@D)/.libs
	$(AM_V_NVCC)$(NVCC) $(NVCC_OWN_FLAGS) $(FSMOE_NDEBUG) $(AM_CPPFLAGS) -I. $(NVCCFLAGS) \
		-c $< -o $(@D)/.libs/$(*F).cu.o -MD -MP -MT $@ -MF $(@D)/.libs/$(*F).cu.d
	@printf '%s\n' "# $(@F) - a libtool object file" "# Generated by libtool" \
		"pic_object='.libs/$(*F).cu.o'" non_pic_object=none >$@
-include $(cuda_objects:codelets/cuda/%.lo=codelets/cuda/.libs/%.d)
CLEANFILES += $(cuda_sources:.cu=.cu.lo)
