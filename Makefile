# make            the library and the tools            make demo     a digit, classified
# make check      every test                           make bench    the benchmarks
# make install    PREFIX=/usr/local, DESTDIR           make format   clang-format
# make install-library: no tools, and nothing of what they need (protobuf-c, zlib)
# make bench-compile, bench-memory: instructions to make programs, memory to run them; bench-executor: to share out a step
# make bench-predictor: what a request costs, and what batches gain
# make bench-peers, bench-plot: speed against other runtimes, and drawings of it
# make bench-quant: accuracy, size and speed of quantised models beside ONNX Runtime's quantiser
# make bench-shapes, bench-choice: kernels over kinds of shape, and where another kernel than the chosen one is faster
# make CUDA=1: with kernels for GPUs, which needs nvcc; check-cuda-emulation: these kernels, run on the CPU
# Options: BUILD=dir  CC=clang  LD, AR, OBJCOPY, STRIP  SANITIZE=address,undefined|thread  WERROR=1  V=1 (show whole commands)

.DEFAULT_GOAL := all

BUILD   ?= build
CC      ?= cc
OBJCOPY ?= objcopy
STRIP   ?= strip
PREFIX  ?= /usr/local
OPT     ?= -O2 -ftree-vectorize
VERSION := 0.1.0

# A line a file; V=1 shows the commands instead. $(call say,CC) before a command, which begins with $(Q).
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s %s\n' '$(1)' '$@')

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes $(if $(WERROR),-Werror)
SANITIZER := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer)
# -flto is taken back: the names of the library's one object are made local, and only machine code has names to be made so.
# No contraction: a*b+c gives the same bits whatever the compiler and the ISA.
# No exception passes through C: tables for unwinding would be a tenth of the library.
# Nothing of ours is faster for places that begin a line of the cache (structs in tables, loops, what is jumped to): no bytes
# for these, which gcc alone would spend.
only_gcc = $(if $(findstring clang,$(CC)),,$(1))
PACKED_DATA := $(call only_gcc,-malign-data=abi)
PACKED_CODE := $(call only_gcc,-falign-jumps=1 -falign-labels=1 -falign-loops=1)
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -DINFER_VERSION='"$(VERSION)"' $(OPT) -g -fno-asynchronous-unwind-tables -ffp-contract=off -fno-math-errno \
             -fno-trapping-math -ffunction-sections -fdata-sections $(PACKED_DATA) -pthread $(WARNINGS) $(SANITIZER) -I. -I$(BUILD)/gen $(CFLAGS) $(if $(findstring -flto,$(CFLAGS) $(OPT)),-fno-lto)
ALL_LDFLAGS = -pthread $(SANITIZER) $(LDFLAGS)
# Tables are full of addresses, which are 24 bytes each as relocations and less than one packed (glibc 2.36).
SMALL_LDFLAGS := -Wl,--gc-sections -Wl,-z,pack-relative-relocs -Wl,-z,noseparate-code

# The library needs libc, libm and pthread. The importer (ONNX, NPZ) also needs protobuf-c and zlib, so it is a library of its own.
IMPORT_SOURCES := $(wildcard formats/onnx/*.c) $(wildcard formats/npz.c)
LIBRARY_SOURCES := $(filter-out $(IMPORT_SOURCES),$(wildcard kernels/*.c kernels/reference/*.c graph/*.c graph/ops/*.c \
                   graph/passes/*.c graph/planner/*.c graph/steps/*.c runtime/weights/*.c runtime/compile/*.c runtime/*.c predictor/*.c \
                   formats/*.c))
# What only a build with a device has.
DEVICE_SOURCES := graph/steps/sides.c runtime/compile/on_device.c runtime/session_device.c \
                  $(wildcard runtime/device_run*.c)
LIBRARY_SOURCES := $(if $(CUDA),$(LIBRARY_SOURCES),$(filter-out $(DEVICE_SOURCES),$(LIBRARY_SOURCES))) \
                   runtime/device/$(if $(CUDA),device_cuda,device_none).c
# What makes models smaller is the tools' business, not the library's.
QUANTIZE_SOURCES := $(wildcard graph/quantize/*.c)
TOOL_SOURCES := $(wildcard tools/infer-*.c)
TOOL_SHARED := $(filter-out $(TOOL_SOURCES),$(wildcard tools/*.c))
PROBLEM_SOURCES := $(wildcard tools/problems/*.c)
TEST_SOURCES := $(wildcard tests/*.c)
RANDOM_GRAPHS = $(call object,$(wildcard tests/random_*.c))
KERNEL_TEST_SOURCES := $(wildcard tests/kernels/*.c)

object = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

# Vector code is compiled once for each set of instructions (kernels/x86/vector.h); tests link the plain one too.
VECTOR_SOURCES := $(wildcard kernels/x86/*.c)
vector_object = $(patsubst %.c,$(BUILD)/obj/%.$(1).o,$(VECTOR_SOURCES))
SET_avx2 := -DKERNEL_SET=SET_AVX2 -mavx2 -mfma -mf16c
SET_avx512 := -DKERNEL_SET=SET_AVX512 -mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512vl -mavx512dq -mprefer-vector-width=512
SET_plain := -DKERNEL_SET=SET_PLAIN -Wno-psabi -O1
PLAIN_OBJECTS := $(call vector_object,plain)

LIBRARY_OBJECTS := $(call object,$(LIBRARY_SOURCES)) $(call vector_object,avx2) $(call vector_object,avx512)
IMPORT_OBJECTS := $(call object,$(IMPORT_SOURCES)) $(if $(wildcard formats/onnx/onnx.proto),$(BUILD)/gen/onnx.pb-c.o)
TOOLS := $(patsubst tools/%.c,$(BUILD)/%,$(TOOL_SOURCES))
IMPORT_LIBRARIES := -lprotobuf-c -lz

# All of check-kernels but its main: unit tests take the reference kernels to a few problems.
KERNEL_HARNESS := $(call object,$(filter-out tests/kernels/main.c,$(KERNEL_TEST_SOURCES)) $(PROBLEM_SOURCES))

include kernels/cuda/build.mk

.PHONY: all library tools check unit unit-clang unit-asan unit-tsan check-includes check-library check-install check-tools check-planner \
        check-kernels check-kernels-asan check-vectors check-demo check-conformance check-contrib check-resize check-damage check-models check-examples check-quantize demo bench bench-memory bench-open bench-compile \
        bench-peers bench-builds bench-plot bench-quant bench-shapes bench-choice check-bill install install-library format format-check clean
.DELETE_ON_ERROR:
.SECONDARY:

# A call must get by with 64 KB of stack: tables go in regions. Sanitizers put more in a frame.
$(LIBRARY_OBJECTS): private WARNINGS += $(if $(SANITIZE),,-Wframe-larger-than=24576)

all: library tools
library: $(BUILD)/libinfer.a
tools: $(TOOLS)

$(BUILD)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

# Better small than fast: what runs once a node, a program or a model, unless it goes through all weights; and reference
# kernels, since most CPUs have vector kernels in their place, but for those that take most of a model's time where there are none.
# Not among it: what shares out steps and runs them, and where making a program spends most of its instructions.
# Of what -Oz has gcc do, this makes code larger.
SMALL := -Oz $(call only_gcc,-fno-tree-loop-im -fno-move-loop-invariants -fno-tree-dominator-opts)
THROUGH_WEIGHTS := kernels/convert.c graph/passes/numbers.c graph/passes/product.c formats/hash.c formats/xxh3.c
FAST_REFERENCE := $(patsubst %,kernels/reference/%.c,conv copy gather matmul multiply order pointwise topk trees)
EACH_STEP := kernels/copy.c kernels/gather.c $(wildcard runtime/executor*.c runtime/runner*.c)
PLANNING := graph/graph.c graph/op.c graph/resolve.c kernels/base.c kernels/kernel.c kernels/sort.c $(patsubst %,graph/passes/%.c,common_subexpressions passes rewrite strips_sweep) \
            $(patsubst %,graph/planner/%.c,placed search) $(patsubst %,graph/steps/%.c,dependencies liveness peak schedule uses walk)
SMALL_SOURCES := $(wildcard graph/*.c graph/*/*.c formats/*.c formats/onnx/*.c kernels/*.c kernels/reference/*.c \
                   runtime/*.c runtime/*/*.c predictor/*.c tools/*.c)
FAST := $(THROUGH_WEIGHTS) $(FAST_REFERENCE) $(EACH_STEP) $(PLANNING)
$(call object,$(filter-out $(FAST),$(SMALL_SOURCES))): private OPT := $(SMALL)
$(call object,$(FAST)): private OPT += $(PACKED_CODE) $(call only_gcc,-freorder-blocks-algorithm=simple)

# Loops over vectors are written as such: what the compiler makes vectors of is tails and tables.
$(foreach set,avx2 avx512,$(call vector_object,$(set))): private OPT += -fno-tree-vectorize $(call only_gcc,-falign-jumps=1 -falign-labels=1)
# Copies of few bytes at a time are loops so short that they notice both where they lie and jumps: twice the time.
$(foreach set,avx2 avx512,$(filter-out %/copy.$(set).o %/transpose.$(set).o,$(call vector_object,$(set)))): private OPT += \
    $(call only_gcc,-falign-loops=1 -fno-thread-jumps -freorder-blocks-algorithm=simple)

# Fuzzers are after readers: with sanitizers for them clang takes a quarter of an hour for the largest of these files,
# which check-kernels-asan runs with gcc's.
UNWATCHED := $(if $(findstring fuzzer,$(SANITIZE)),-fno-sanitize=all)

define vector_rule
$$(BUILD)/obj/%.$(1).o: %.c Makefile
	@mkdir -p $$(@D)
	$$(call say,CC)
	$$(Q)$$(CC) $$(ALL_CFLAGS) $(SET_$(1)) $(UNWATCHED) -MMD -MP -c $$< -o $$@
endef
$(foreach set,avx2 avx512 plain,$(eval $(call vector_rule,$(set))))

# protoc-c's output is not held to our warnings.
$(BUILD)/gen/onnx.pb-c.c: formats/onnx/onnx.proto
	@mkdir -p $(@D)
	$(call say,PROTOC)
	$(Q)protoc-c --proto_path=$(<D) --c_out=$(@D) $<
# The header comes with it: what includes it is rebuilt when the .proto changes.
$(BUILD)/gen/onnx.pb-c.h: $(BUILD)/gen/onnx.pb-c.c ;
$(BUILD)/gen/onnx.pb-c.o: $(BUILD)/gen/onnx.pb-c.c
	$(call say,CC)
	$(Q)$(CC) $(ALL_CFLAGS) -w -c $< -o $@
$(call object,$(wildcard formats/onnx/*.c)): | $(BUILD)/gen/onnx.pb-c.c

# What a program links: one object in which only infer_* is global.
$(BUILD)/libinfer.o: $(LIBRARY_OBJECTS)
	$(call say,LD)
	$(Q)$(LD) -r -o $@ $^
	$(Q)$(OBJCOPY) --wildcard --keep-global-symbol='infer_*' $@
$(BUILD)/libinfer.a: $(BUILD)/libinfer.o
	$(call say,AR)
	@rm -f $@
	$(Q)$(AR) qcs $@ $<
# What our own tools and tests link: the same objects, every function visible.
$(BUILD)/internal.a: $(LIBRARY_OBJECTS) $(IMPORT_OBJECTS) $(call object,$(QUANTIZE_SOURCES)) $(SUPPORT_OBJECTS)
	$(call say,AR)
	@rm -f $@
	$(Q)$(AR) qcs $@ $^

# OpenBLAS is what infer-bench measures against, where it is there; no other program knows of it.
BLAS_LIBRARIES := $(shell pkg-config --silence-errors --libs openblas)
ifneq ($(BLAS_LIBRARIES),)
$(BUILD)/obj/tools/bench_blas.o: private ALL_CFLAGS += -DHAVE_OPENBLAS $(shell pkg-config --cflags openblas)
$(BUILD)/infer-bench: private IMPORT_LIBRARIES += $(BLAS_LIBRARIES)
endif

$(TOOLS): $(BUILD)/%: $(BUILD)/obj/tools/%.o $(call object,$(TOOL_SHARED) $(PROBLEM_SOURCES)) $(BUILD)/internal.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) $(SMALL_LDFLAGS) -o $@ $^ $(IMPORT_LIBRARIES) -lm

$(BUILD)/check: $(call object,$(TEST_SOURCES)) $(KERNEL_HARNESS) $(PLAIN_OBJECTS) $(BUILD)/internal.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(shell pkg-config --libs check) $(IMPORT_LIBRARIES) -lm

$(BUILD)/check-kernels: $(call object,$(KERNEL_TEST_SOURCES) $(PROBLEM_SOURCES)) $(PLAIN_OBJECTS) $(BUILD)/internal.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(IMPORT_LIBRARIES) -lm

$(BUILD)/check-vectors: $(call object,tests/vectors/main.c) $(foreach set,avx2 avx512 plain,$(BUILD)/obj/tests/vectors/functions.$(set).o) $(BUILD)/internal.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(IMPORT_LIBRARIES) -lm

# A busy machine is no reason to fail: no test comes near Check's limit of 4 seconds on an idle one.
unit: $(BUILD)/check
	CK_TIMEOUT_MULTIPLIER=15 $(BUILD)/check $(SUITE)

# Writes the tables of tests/decisions.h anew, where choices are meant to be others.
.PHONY: decisions
decisions: $(BUILD)/check
	for kind in kernels forms programs planner; do INFER_RECORD_DECISIONS=1 $(BUILD)/check decisions_$$kind || exit 1; done

# The same tests built otherwise. Sanitizers make gcc see warnings that are not there.
unit-clang:
	$(MAKE) BUILD=build-clang CC=clang unit
unit-asan:
	$(MAKE) BUILD=build-asan OPT=-O1 WERROR= SANITIZE=address,undefined unit
unit-tsan:
	for suite in executor weights runtime runtime_threads runtime_executor runtime_stop runtime_calls runtime_weights runtime_packs predictor predictor_allocations predictor_async \
	    predictor_cache predictor_metrics predictor_pad predictor_stream; do \
	    $(MAKE) BUILD=build-tsan OPT=-O1 WERROR= SANITIZE=thread unit SUITE=$$suite || exit 1; done

# libFuzzer on each reader of bytes, for so many seconds each, from a copy of its corpus: nothing is written here.
FUZZ_SECONDS ?= 10
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
.PHONY: fuzz check-fuzz
fuzz check-fuzz:
	$(MAKE) BUILD=build-fuzz CC=clang OPT=-O1 WERROR= SANITIZE=address,undefined,fuzzer-no-link $(addprefix run-fuzz-,$(FUZZERS))
$(BUILD)/fuzz_passes: $(RANDOM_GRAPHS)
$(BUILD)/fuzz_%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(BUILD)/internal.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $(filter %.o,$^) $(filter %.a,$^) $(IMPORT_LIBRARIES) -lm
run-fuzz-%: $(BUILD)/fuzz_%
	@rm -rf $(BUILD)/corpus/$* && mkdir -p $(BUILD)/corpus && cp -r tests/fuzz/corpus/$* $(BUILD)/corpus
	@$< -max_total_time=$(FUZZ_SECONDS) -timeout=10 -artifact_prefix=$(BUILD)/ $(BUILD)/corpus/$* $(wildcard tests/data/$*) 2>$(BUILD)/fuzz_$*.log || \
	    { tail -n 60 $(BUILD)/fuzz_$*.log; exit 1; }
	@echo "fuzz_$*: $$(grep -o 'Done [0-9]* runs in [0-9]* second' $(BUILD)/fuzz_$*.log)s, nothing found"

# That no output of any model changes by a bit from one build to another: tests/output_hashes.py. AGAINST is a record.
AGAINST ?= $(BUILD)/output_hashes.txt
.PHONY: hash-outputs compare-outputs check-hashes
hash-outputs: $(TOOLS) $(BUILD)/hash_graphs
	$(PYTHON) -W ignore tests/output_hashes.py --tools $(BUILD) --record $(BUILD)/output_hashes.txt
compare-outputs: $(TOOLS) $(BUILD)/hash_graphs
	$(PYTHON) -W ignore tests/output_hashes.py --tools $(BUILD) --compare $(AGAINST)
check-hashes: $(TOOLS) $(BUILD)/hash_graphs
	PYTHON=$(PYTHON) tests/check_hashes.sh $(BUILD)
# That the bits of random graphs are those committed, with every set of instructions and on an emulated Haswell.
.PHONY: check-bits record-bits
check-bits: $(BUILD)/hash_graphs
	$(PYTHON) tests/hashes/check_bits.py --build $(BUILD)
record-bits: $(BUILD)/hash_graphs
	$(PYTHON) tests/hashes/check_bits.py --build $(BUILD) --record
$(BUILD)/hash_graphs: $(BUILD)/obj/tests/hashes/hash_graphs.o $(RANDOM_GRAPHS) $(BUILD)/internal.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(IMPORT_LIBRARIES) -lm

# The planner's properties on 100,000 random instances; `make unit` takes 3,000.
check-planner: $(BUILD)/check
	INFER_PLANNER_INSTANCES=100000 $(BUILD)/check planner

# Every kernel on random problems; options in KERNELS, such as "--problems 500 --seed 7".
check-kernels: $(BUILD)/check-kernels
	$(BUILD)/check-kernels $(KERNELS)
check-kernels-asan:
	$(MAKE) BUILD=build-asan OPT=-O1 WERROR= SANITIZE=address,undefined KERNELS="--problems 8" check-kernels

# Functions of vectors against libm; VECTORS=--all takes every float.
check-vectors: $(BUILD)/check-vectors
	$(BUILD)/check-vectors $(VECTORS)

check-includes:
	tests/check_includes.sh
check-library: $(BUILD)/libinfer.a $(TOOLS) $(BUILD)/digits.bin
	tests/check_library.sh $(BUILD)
check-install: $(BUILD)/libinfer.a $(TOOLS) $(BUILD)/digits.bin
	tests/check_install.sh $(BUILD)
check-tools: $(TOOLS) $(BUILD)/digits.bin
	tests/check_tools.sh $(BUILD)
check-demo: $(TOOLS) $(BUILD)/digits.bin $(BUILD)/show_digit
	$(PYTHON) tests/demo/run.py --tools $(BUILD)
# The attributes of every operator against the schemas of ONNX; `make operators` writes the document that lists them.
check-operators: $(BUILD)/list-operators
	$(PYTHON) -W ignore tests/conformance/operators.py --lister $<
operators: $(BUILD)/list-operators
	$< > docs/operators.md
.PHONY: operators check-operators
$(BUILD)/list-operators: $(call object,tests/conformance/list_operators.c) $(BUILD)/internal.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lm
check-conformance: $(TOOLS)
	$(PYTHON) -W ignore tests/conformance/run.py --tools $(BUILD)
# The operators of com.microsoft and ai.onnx.ml against ONNX Runtime, on random cases; options in CONTRIB, such as "--filter qgemm
# --cases 400 --seed 2".
check-contrib: $(TOOLS)
	$(PYTHON) -W ignore tests/conformance/contrib_sweep.py --tools $(BUILD) $(CONTRIB)
# What infer-quantize makes of models, beside what ONNX Runtime makes of them.
check-quantize: $(TOOLS)
	$(PYTHON) -W ignore tests/quantize/check_quantize.py --tools $(BUILD)
# Every mode of Resize against ONNX Runtime; RESIZE=--full takes every length, scale and size.
check-resize: $(TOOLS)
	$(PYTHON) -W ignore tests/conformance/resize_sweep.py --tools $(BUILD) $(RESIZE)
# ONNX's node tests with an operand left out or an attribute out of range; DAMAGE=--full takes every place.
check-damage: $(TOOLS)
	$(PYTHON) -W ignore tests/conformance/damage.py --tools $(BUILD) $(DAMAGE)
# The programs of examples/ and tests/embedding/ against an installed library; options in EXAMPLES, such as "--filter vad".
check-examples: $(BUILD)/libinfer.a $(TOOLS)
	$(PYTHON) -W ignore tests/embedding/run.py --tools $(BUILD) $(EXAMPLES)
check-models: $(TOOLS)
	$(PYTHON) tests/models/check_models.py --tools $(BUILD)
# What models hold against what an allocator counts; BILL=--full takes every model.
check-bill: $(TOOLS) $(BUILD)/bill
	$(PYTHON) tests/models/check_bill.py --tools $(BUILD) $(BILL)
$(BUILD)/bill: $(call object,tests/models/bill.c $(TOOL_SHARED)) $(call object,$(PROBLEM_SOURCES)) $(BUILD)/internal.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(IMPORT_LIBRARIES) -lm
# Needs valgrind, which counts.
bench-open: $(TOOLS) $(BUILD)/open_model
	$(PYTHON) tests/models/bench_open.py --tools $(BUILD)
$(BUILD)/open_model: $(call object,tests/models/open_model.c tools/shapes.c) $(BUILD)/internal.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lm
# Instructions, counted by valgrind: the same on each run.
bench-compile: $(BUILD)/bench-compile $(TOOLS)
	$(PYTHON) tests/compile/bench_compile.py --tools $(BUILD)
$(BUILD)/bench-compile: $(call object,$(wildcard tests/compile/*.c)) $(BUILD)/internal.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lm
# Nanoseconds to share out a phase of a step.
.PHONY: bench-executor
bench-executor: $(BUILD)/bench-executor
	$<
$(BUILD)/bench-executor: $(call object,tests/executor/bench_executor.c) $(BUILD)/internal.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lm
# Clients that ask a predictor for all they can, for SOAK_SECONDS; and what a request costs, and batches gain. Options of
# the latter in PREDICTOR, such as "--quick --models minilm --json FILE".
SOAK_SECONDS ?= 10
.PHONY: check-soak check-soak-tsan bench-predictor
check-soak: $(BUILD)/soak
	$< $(SOAK_SECONDS)
check-soak-tsan:
	$(MAKE) BUILD=build-tsan OPT=-O1 WERROR= SANITIZE=thread SOAK_SECONDS=5 check-soak
bench-predictor: $(BUILD)/bench-predictor $(BUILD)/infer-bench
	$(PYTHON) tests/predictor/bench_batching.py --tools $(BUILD) $(PREDICTOR)
# The drawing in the guide: from docs/pipeline.json, which must have the parts that the code has.
.PHONY: diagram check-diagram
diagram:
	python3 tests/predictor/diagram.py --draw
check-diagram:
	python3 tests/predictor/diagram.py
# Metrics as Prometheus' own client reads them.
.PHONY: check-metrics
check-metrics: $(BUILD)/print-metrics $(BUILD)/digits.bin $(BUILD)/fake/libnvidia-ml.so.1
	$(PYTHON) tests/predictor/check_metrics.py --build $(BUILD)
$(BUILD)/fake/libnvidia-ml.so.1: tests/predictor/fake_nvml.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) -std=c11 $(WARNINGS) -shared -fPIC -o $@ $<
$(BUILD)/print-metrics: $(call object,tests/predictor/print_metrics.c) $(BUILD)/internal.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lm
PREDICTOR_TESTS := $(call object,tests/predictor_test.c tests/model_maker.c)
$(BUILD)/soak: $(call object,tests/predictor/soak.c) $(PREDICTOR_TESTS) $(BUILD)/internal.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(shell pkg-config --libs check) -lm
$(BUILD)/bench-predictor: $(call object,tests/predictor/bench_predictor.c) $(PREDICTOR_TESTS) $(BUILD)/internal.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(shell pkg-config --libs check) -lm
bench-memory: $(TOOLS)
	$(PYTHON) tests/models/bench_memory.py --tools $(BUILD)
# Against other runtimes: PEERS="--quick --models resnet,vgg --profile"; needs ./setup bench-peers.
bench-peers: $(TOOLS) $(BUILD)/bench_worker
	$(PEER_PYTHON) tests/models/bench_peers.py --tools $(BUILD) --json $(BUILD)/peers.json $(PEERS)
# Builds of infer against each other, each a folder: BUILDS="../before/build build --steps --isa avx2".
bench-builds: $(BUILD)/bench_worker
	$(PEER_PYTHON) tests/models/bench_builds.py $(BUILDS)
# Drawings of what bench-peers wrote last.
bench-plot:
	$(PEER_PYTHON) tests/models/plot_peers.py $(BUILD)/peers.json $(BUILD)/plots
$(BUILD)/bench_worker: $(call object,tests/models/bench_worker.c $(patsubst %,tools/%.c,arrays common json report run_profile)) $(BUILD)/internal.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(IMPORT_LIBRARIES) -lm
# Accuracy on real data, sizes and speed of quantised models, beside ONNX Runtime's quantiser: QUANT="--quick --parts
# accuracy --models det"; needs ./setup bench-quant.
bench-quant: $(TOOLS) $(BUILD)/bench_worker
	$(PEER_PYTHON) tests/quantize/bench_quant.py --tools $(BUILD) --json $(BUILD)/quant.json $(QUANT)
# Kernels over kinds of shape, and where another kernel than the one chosen would have been faster; options in SHAPES and
# CHOICE, such as "--filter conv --isa avx2".
bench-shapes: $(BUILD)/infer-bench
	$(BUILD)/infer-bench shapes $(SHAPES)
bench-choice: $(TOOLS) $(BUILD)/bench_worker
	$(BUILD)/infer-bench choice $(CHOICE)
	$(PEER_PYTHON) tests/models/bench_choice.py --tools $(BUILD)
PYTHON ?= .venv/bin/python
PEER_PYTHON ?= .venv-bench/bin/python

check: all
	+tests/check.sh

$(BUILD)/digits.bin: tests/demo/digits.onnx $(BUILD)/infer-convert
	$(BUILD)/infer-convert $< $@
$(BUILD)/show_digit: $(call object,tests/demo/show_digit.c) $(BUILD)/internal.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lm
demo: $(TOOLS) $(BUILD)/digits.bin $(BUILD)/show_digit
	@echo
	@$(BUILD)/show_digit tests/demo/digit_3.npy
	@echo
	$(BUILD)/infer-run $(BUILD)/digits.bin tests/demo/digit_3.npy --labels tests/demo/labels.txt

bench: $(BUILD)/infer-bench $(BUILD)/digits.bin
	$(BUILD)/infer-bench kernels
	$(BUILD)/infer-bench model $(BUILD)/digits.bin

install-library: $(BUILD)/libinfer.a $(BUILD)/infer.pc
	install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include
	install -m 644 $(BUILD)/libinfer.a $(DESTDIR)$(PREFIX)/lib
	$(STRIP) --strip-debug $(DESTDIR)$(PREFIX)/lib/libinfer.a
	install -m 644 runtime/infer.h runtime/infer_predictor.h $(DESTDIR)$(PREFIX)/include
	install -m 644 $(BUILD)/infer.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig
install: install-library $(TOOLS)
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(TOOLS) $(DESTDIR)$(PREFIX)/bin
.PHONY: $(BUILD)/infer.pc # PREFIX may differ from the last time
$(BUILD)/infer.pc:
	@mkdir -p $(@D)
	@printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$${prefix}/lib' 'includedir=$${prefix}/include' '' 'Name: infer' \
	    'Description: Runs neural networks on the CPU' 'Version: $(VERSION)' 'Libs: -L$${libdir} -linfer -lm -pthread' \
	    'Cflags: -I$${includedir}' > $@

format:
	clang-format -i $(FORMATTED)
format-check:
	clang-format --dry-run --Werror $(FORMATTED)
FORMATTED = $(shell git ls-files '*.c' '*.h' '*.cpp' '*.cc' '*.cu')

clean:
	rm -rf $(BUILD) build-clang build-asan build-tsan build-fuzz build-cuda

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
