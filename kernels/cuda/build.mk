# Kernels for CUDA; the Makefile includes this.
#   make CUDA=1                  with nvcc, for GPUs: NVCC, CUDA_HOME, CUDA_ARCHITECTURES
#   make CUDA=emulated           for the CPU, against tests/cuda/emulation: for tests
CUDA ?=
CUDA_HOME ?= /usr/local/cuda
NVCC ?= $(CUDA_HOME)/bin/nvcc
CUDA_ARCHITECTURES ?= 75 80 86 89 90 100 120

CUDA_SOURCES := $(wildcard kernels/cuda/*.cu)
CUDA_OBJECTS := $(patsubst %.cu,$(BUILD)/obj/%.cu.o,$(CUDA_SOURCES))
# Kernels whose every access to memory the emulation looks at.
WATCHED_OBJECTS := $(patsubst %.cu,$(BUILD)/obj/%.watched.o,$(CUDA_SOURCES))
EMULATION_OBJECTS := $(patsubst %.cc,$(BUILD)/obj/%.o,$(wildcard tests/cuda/emulation/*.cc))
EMULATED_CXXFLAGS := -std=c++17 -g -ffp-contract=off -fno-math-errno -fno-exceptions -fno-rtti -pthread -Wall -Wextra \
                     -Wno-missing-field-initializers -Wno-unused-function -Wno-unknown-pragmas $(if $(WERROR),-Werror) -Itests/cuda/emulation -I. -I$(BUILD)/gen
# One machine code an architecture, and PTX of the last for those to come. nvcc contracts no product and sum: see kernels/cuda/cuda.h.
NVCCFLAGS = -std=c++17 -O3 -fmad=false --threads 0 -I. -Xcompiler -Wall,-fno-exceptions,-ffunction-sections,-fdata-sections \
            $(foreach a,$(CUDA_ARCHITECTURES),-gencode arch=compute_$(a),code=sm_$(a)) \
            -gencode arch=compute_$(lastword $(CUDA_ARCHITECTURES)),code=compute_$(lastword $(CUDA_ARCHITECTURES))

ifneq ($(CUDA),)
ALL_CFLAGS += -DINFER_CUDA
LIBRARY_OBJECTS += $(CUDA_OBJECTS)
ifeq ($(CUDA),emulated)
ALL_CFLAGS += -Itests/cuda/emulation
CUDA_LIBRARIES := -lstdc++
SUPPORT_OBJECTS := $(EMULATION_OBJECTS)
else
ALL_CFLAGS += -I$(CUDA_HOME)/include
CUDA_LIBRARIES := -L$(CUDA_HOME)/lib64 -lcudart_static -ldl -lrt -lstdc++
endif
endif

ifeq ($(CUDA),emulated)
$(BUILD)/obj/%.cu.o: %.cu Makefile kernels/cuda/build.mk
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(CXX) $(EMULATED_CXXFLAGS) -O2 -x c++ -MMD -MP -c $< -o $@
else
$(BUILD)/obj/%.cu.o: %.cu Makefile kernels/cuda/build.mk
	@mkdir -p $(@D)
	$(call say,NVCC)
	$(Q)$(NVCC) $(NVCCFLAGS) -MMD -MP -MF $(@:.o=.d) -c $< -o $@
endif
# Strict aliasing lets the compiler move accesses that the emulation is to see one by one.
$(BUILD)/obj/%.watched.o: %.cu Makefile kernels/cuda/build.mk
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(CXX) $(EMULATED_CXXFLAGS) -O1 -fno-strict-aliasing -fsanitize=thread -x c++ -MMD -MP -c $< -o $@
$(BUILD)/obj/tests/cuda/emulation/%.o: tests/cuda/emulation/%.cc Makefile kernels/cuda/build.mk
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(CXX) $(EMULATED_CXXFLAGS) -O2 -MMD -MP -c $< -o $@

# Every kernel for CUDA on random problems, under the emulation; options in KERNELS as for check-kernels.
.PHONY: check-cuda-emulation check-cuda-kernels
check-cuda-emulation:
	$(MAKE) BUILD=build-cuda CUDA=emulated check-cuda-kernels
check-cuda-kernels: $(BUILD)/check-cuda-kernels
	$< $(KERNELS)
$(BUILD)/check-cuda-kernels: $(call object,tests/cuda/check_kernels.c tests/cuda/on_device.c) \
    $(filter-out %/main.o %/planted.o %/shapes.o,$(call object,$(KERNEL_TEST_SOURCES))) $(call object,$(PROBLEM_SOURCES)) \
    $(WATCHED_OBJECTS) $(BUILD)/internal.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -rdynamic -o $@ $^ $(IMPORT_LIBRARIES) $(CUDA_LIBRARIES) -lm
