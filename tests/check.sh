#!/usr/bin/env bash
# Runs every check, each a make target, and closes with the sum: `N passed, N failed`. A check that fails does not stop
# the others. `tests/check.sh NAME...` runs only those.
set -u
cd "$(dirname "$0")/.."
export MAKEFLAGS=${MAKEFLAGS:--j$(nproc)}

checks=(
    "unit              unit tests, gcc"
    "unit-clang        unit tests, clang"
    "unit-asan         unit tests under AddressSanitizer and UndefinedBehaviorSanitizer"
    "unit-tsan         thread pool, concurrent runs and the predictor under ThreadSanitizer"
    "check-includes    headers follow the direction of the layers"
    "check-library     libinfer.a: exported symbols, no constructors, oldest CPU"
    "check-install     an installed library builds the README's example and the guide's service, in C and in C++"
    "check-tools       the command line, good and bad usage"
    "check-planner     the memory planner on 100,000 random instances"
    "check-hashes      output_hashes.py, which compares two builds bit by bit"
    "check-bits        random graphs give the committed bits with every set of instructions, and on qemu's Haswell"
    "check-kernels     every kernel on random problems behind guard pages; planted bugs"
    "check-kernels-asan the same, fewer, under AddressSanitizer and UndefinedBehaviorSanitizer"
    "check-cuda-bugs   bugs of ten kinds in kernels for CUDA, and what makes them slow: the emulation must find them"
    "check-cuda-emulation every kernel for CUDA on random problems, on the emulated GPU"
    "check-cuda-build  kernels for CUDA compiled by nvcc: registers, spills and main loops within budgets"
    "check-vectors     functions of vectors against libm, and every set against the others"
    "check-soak        clients that ask a predictor for all they can, every result compared"
    "check-soak-tsan   the same, shorter, under ThreadSanitizer"
    "check-metrics     metrics of a predictor as Prometheus' own client reads them"
    "check-diagram     the drawing of the predictor's parts, and that they are the code's"
    "check-demo        the demo's classifier: accuracy, scores, drawings"
    "check-fuzz        fuzzers over every reader of bytes"
    "check-operators   the attributes of every operator against ONNX's schemas"
    "check-conformance ONNX's own node tests through the two tools"
    "check-contrib     operators of com.microsoft against ONNX Runtime, random cases of all their options"
    "check-resize      Resize and Upsample against ONNX Runtime, pixel by pixel"
    "check-quantize    models made small: error and size beside ONNX Runtime's"
    "check-damage      damaged node tests end, and with one sentence"
    "check-models      real models against ONNX Runtime"
    "check-examples    examples and programs as embedders write them, against an installed library"
    "check-bill        what real models hold against what an allocator counts; limits; little stack"
)

log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0 failed=0 broken=()

# Adds up what a check says of itself: Check's "N%: Checks: C, Failures: F, Errors: E", or "P passed, F failed".
count()
{
    local good bad
    read -r good bad < <(awk '
        match($0, /Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+/) {
            split(substr($0, RSTART, RLENGTH), n, /[^0-9]+/); good = n[2] - n[3] - n[4]; bad = n[3] + n[4] }
        /^[0-9]+ passed, [0-9]+ failed/ { good = $1; bad = $3 }
        END { print good + 0, bad + 0 }' "$log")
    [ "$1" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    [ "$((good + bad))" -gt 0 ] || good=1
    passed=$((passed + good)) failed=$((failed + bad))
}

for line in "${checks[@]}"; do
    name=${line%% *}
    [ $# -eq 0 ] || [[ " $* " == *" $name "* ]] || continue
    printf '\n== %s: %s\n' "$name" "$(sed 's/^[^ ]* *//' <<<"$line")"
    SECONDS=0
    make --no-print-directory -s "$name" 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    [ "$status" -eq 0 ] || broken+=("$name")
    count "$status"
    echo "== $name: $([ "$status" -eq 0 ] && echo ok || echo FAILED) after $SECONDS s"
done

echo
[ ${#broken[@]} -eq 0 ] || echo "failed: ${broken[*]}"
echo "$passed passed, $failed failed"
[ ${#broken[@]} -eq 0 ] && [ "$failed" -eq 0 ]
