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
# An instruction for fmaf, and for half precision, instead of a call: a CPU with AVX2 is asked for.
EMULATED_CXXFLAGS := -std=c++17 -g -march=x86-64-v3 -ffp-contract=off -fno-math-errno -fno-exceptions -fno-rtti -pthread -Wall -Wextra \
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
# What the fake cuBLAS calls must be found in the program.
FOR_FAKES := -Wl,--export-dynamic-symbol=cudaLaunchHostFunc -Wl,--export-dynamic-symbol=emulation_memory_fault
else
ALL_CFLAGS += -I$(CUDA_HOME)/include
CUDA_LIBRARIES := -L$(CUDA_HOME)/lib64 -lcudart_static -ldl -lrt -lstdc++
endif
IMPORT_LIBRARIES += $(CUDA_LIBRARIES)
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
# Strict aliasing lets the compiler move accesses that the emulation is to see one by one. Small problems are to reach
# all kernels: thresholds of product.h, and CUBLAS_LEAST of matmul_cublas.cu.
$(BUILD)/obj/%.watched.o: %.cu Makefile kernels/cuda/build.mk
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(CXX) $(EMULATED_CXXFLAGS) -O1 -fno-strict-aliasing -fsanitize=thread -DFULL_GRID=8 -DCUT_STAGES=2 -DCUBLAS_LEAST=1 -x c++ -MMD -MP -c $< -o $@
$(BUILD)/obj/tests/cuda/emulation/%.o: tests/cuda/emulation/%.cc Makefile kernels/cuda/build.mk
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(CXX) $(EMULATED_CXXFLAGS) -O2 -MMD -MP -c $< -o $@

# What runs the kernels of tests: the emulation, every access looked at, or a GPU.
DEVICE_OBJECTS := $(if $(filter emulated,$(CUDA)),$(WATCHED_OBJECTS),$(call object,tests/cuda/real_gpu.c))

# Every kernel for CUDA on random problems, under the emulation, and what it asks of memory against
# tests/cuda/counters.tsv; options in KERNELS as for check-kernels, such as "--filter conv --problems 100 --seed 7", and
# "--table", which prints the counters, and "--write", which makes limits of them.
.PHONY: check-cuda-emulation check-cuda-bugs check-cuda-kernels check-cuda-planted
check-cuda-emulation:
	$(MAKE) BUILD=build-cuda CUDA=emulated check-cuda-kernels check-cuda-runtime check-cuda-suites check-cuda-models
check-cuda-bugs:
	$(MAKE) BUILD=build-cuda CUDA=emulated check-cuda-planted
check-cuda-kernels: $(BUILD)/check-cuda-kernels $(BUILD)/fake/libcublas.so.13
	FAKE_CUBLAS=well LD_LIBRARY_PATH=$(BUILD)/fake $(PYTHON) tests/cuda/check_counters.py $< $(KERNELS)
$(BUILD)/check-cuda-kernels: private ALL_LDFLAGS += $(FOR_FAKES)
$(BUILD)/check-cuda-kernels: $(call object,tests/cuda/check_kernels.c tests/cuda/on_device.c) \
    $(filter-out %/main.o %/planted.o %/shapes.o,$(call object,$(KERNEL_TEST_SOURCES))) $(call object,$(PROBLEM_SOURCES)) \
    $(DEVICE_OBJECTS) $(BUILD)/internal.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(IMPORT_LIBRARIES) $(CUDA_LIBRARIES) -lm

# Sessions on a device, with reference kernels that stand in for those of CUDA; and the tests of the runtime that know
# nothing of devices, with all of their sessions on one.
SUITES_ON_DEVICE := runtime_control runtime_edges runtime_tensors runtime_threads runtime_stop sequences passes_dynamic \
                    ops_conv ops_index ops_rnn ops_shape
.PHONY: check-cuda-runtime check-cuda-suites
check-cuda-runtime: $(BUILD)/check-cuda-runtime $(BUILD)/fake/libcublas.so.13
	CK_RUN_CASE=cuBLAS CK_TIMEOUT_MULTIPLIER=15 $<
	FAKE_CUBLAS=well LD_LIBRARY_PATH=$(BUILD)/fake CK_TIMEOUT_MULTIPLIER=15 $<
check-cuda-suites: $(BUILD)/check-cuda-suites
	for suite in $(SUITES_ON_DEVICE); do CK_TIMEOUT_MULTIPLIER=15 $< $$suite || exit 1; done
STAND_INS := $(call object,tests/cuda/runtime/stand_ins.c)
$(BUILD)/fake/libcublas.so.13: tests/cuda/runtime/fake_cublas.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) -std=c11 $(WARNINGS) -I. -shared -fPIC -o $@ $<
$(BUILD)/check-cuda-runtime: private ALL_LDFLAGS += $(FOR_FAKES)
$(BUILD)/check-cuda-runtime: $(call object,$(wildcard tests/cuda/runtime/test_*.c) tests/model_maker.c) $(RANDOM_GRAPHS) $(STAND_INS) $(BUILD)/internal.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(shell pkg-config --libs check) $(IMPORT_LIBRARIES) -lm
$(BUILD)/check-cuda-suites: $(call object,$(TEST_SOURCES) tests/cuda/runtime/wrap.c) $(STAND_INS) $(KERNEL_HARNESS) $(PLAIN_OBJECTS) $(BUILD)/internal.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -Wl,--wrap=infer_session_create -o $@ $^ $(shell pkg-config --libs check) $(IMPORT_LIBRARIES) -lm

# The same tests in a build without a device: what of the runtime knows of one is made again, with one; build/check runs
# this program (tests/test_device.c), so that a fault in it is seen by `make unit`.
DEVICE_TESTS := $(patsubst %.c,$(BUILD)/obj/%.device.o,$(sort $(wildcard runtime/*.c runtime/compile/*.c tests/cuda/runtime/test_*.c) \
                $(DEVICE_SOURCES) runtime/device/device_cuda.c tests/cuda/runtime/no_kernels.c tests/cuda/runtime/stand_ins.c))
$(BUILD)/obj/%.device.o: %.c Makefile kernels/cuda/build.mk
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(ALL_CFLAGS) -DINFER_CUDA -Itests/cuda/emulation -MMD -MP -c $< -o $@
$(BUILD)/check-device: $(DEVICE_TESTS) $(EMULATION_OBJECTS) $(call object,tests/model_maker.c) $(RANDOM_GRAPHS) $(BUILD)/internal.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(shell pkg-config --libs check) $(IMPORT_LIBRARIES) -lstdc++ -lm
$(BUILD)/check: | $(if $(CUDA),,$(BUILD)/check-device)

# Bugs of ten kinds, which the emulation must find.
check-cuda-planted: $(BUILD)/check-cuda-planted
	$<
$(BUILD)/check-cuda-planted: $(BUILD)/obj/tests/cuda/planted.watched.o $(EMULATION_OBJECTS) $(call object,kernels/kernel.c) $(BUILD)/internal.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(CUDA_LIBRARIES) -lm

# With nvcc, which needs no GPU: registers, spills and main loops against tests/cuda/budgets.tsv. CUDA_BUILD is its options:
# "--write" makes budgets of what is, "--architectures 86,120" takes other GPUs than each file's usual ones.
.PHONY: check-cuda-build
check-cuda-build:
	$(PYTHON) tests/cuda/check_build.py --build $(BUILD)/nvcc $(CUDA_BUILD)

# On a GPU: the same random problems; kernels of real networks' problems beside cuBLAS. Both say so where there is none.
.PHONY: check-cuda bench-cuda
check-cuda:
	$(PYTHON) tests/cuda/on_gpu.py check
bench-cuda:
	$(PYTHON) tests/cuda/on_gpu.py all
$(BUILD)/bench-cuda-kernels: $(call object,tests/cuda/bench_kernels.c $(PROBLEM_SOURCES)) $(BUILD)/internal.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(IMPORT_LIBRARIES) $(CUDA_LIBRARIES) -lm

# Real models on the emulated GPU against ONNX Runtime, on small inputs; options in CUDA_MODELS, such as
# "--filter vad,cls", and "--full", which takes the inputs of check-models, and hours.
.PHONY: check-cuda-models
check-cuda-models: $(TOOLS)
	$(PYTHON) tests/models/check_models.py --tools $(BUILD) --device cuda $(CUDA_MODELS)
