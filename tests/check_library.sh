#!/usr/bin/env bash
# What libinfer.a promises at link time: only infer_* is global, nothing runs before main, it needs libc, libm and
# pthread alone, and nothing outside the kernels of an ISA needs more than the oldest x86-64 CPU; and that make alone makes it.
set -u
cd "$(dirname "$0")/.."
build=${1:-build}
passed=0 failed=0

verdict() # DESCRIPTION OFFENDERS
{
    if [ -z "$2" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf '%s:\n%s\n' "$1" "$(head -n 10 <<<"$2")"
    fi
}

verdict "global symbols that are not infer_*" \
    "$(nm --defined-only --extern-only "$build/libinfer.a" | awk 'NF == 3 && $3 !~ /^infer_/')"
verdict "a header declares what the library lacks" \
    "$(comm -23 <(grep -oE '\binfer_[a-z_]+\(' runtime/infer*.h | sed 's/.*:\|(//g' | sort -u) \
        <(nm --defined-only --extern-only "$build/libinfer.a" | awk 'NF == 3 { print $3 }' | sort -u))"
verdict "the library runs code before main" \
    "$(readelf -S -W "$build/libinfer.a" | grep -E '\.(init_array|ctors|preinit_array)')"
verdict "the library has writable global state" \
    "$(objdump -t "$build/libinfer.a" | grep -E '\sO\s+\.(data|bss|tbss|tdata)' | grep -v '\.data\.rel\.ro')"

# An included file's first goal would become that of the whole. (Nothing is made for `Makefile`, whatever the goal.)
goal=$(env -u MAKEFLAGS make -qp Makefile 2>/dev/null | sed -n 's/^\.DEFAULT_GOAL := //p')
verdict "make alone does not make all" "$([ "$goal" = all ] || echo "its goal is '$goal'")"

# A program of nothing but infer.h, linked with the three libraries and nothing else.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '#include "infer.h"\nint main(void) { return infer_version()[0] == 0; }\n' >"$work/main.c"
verdict "a program does not link with libc, libm and pthread" \
    "$("${CC:-cc}" -std=c11 -Iruntime "$work/main.c" "$build/libinfer.a" -lm -pthread -o "$work/main" 2>&1)"

# Sanitizers and other options make another program.
most=1500000
strip -o "$work/infer-run" "$build/infer-run"
size=$(stat -c %s "$work/infer-run")
verdict "infer-run is larger than $most bytes without its symbols" \
    "$([ "$size" -le "$most" ] || [ -n "${CFLAGS:-}${SANITIZE:-}${OPT:-}${CUDA:-}" ] || echo "$size bytes")"

digit="tests/demo/digit_3.npy"
native=$("$build/infer-run" "$build/digits.bin" $digit -o "$work/native" 2>&1) || verdict "infer-run fails" "$native"
oldest=$(INFER_ISA=auto qemu-x86_64 -cpu Nehalem "$build/infer-run" "$build/digits.bin" $digit -o "$work/oldest" 2>&1)
verdict "infer-run fails on a Nehalem CPU" "$([ $? -eq 0 ] || echo "${oldest:-no output}")"
verdict "a Nehalem CPU gives other results" "$(python3 - "$work" <<'PY'
import array, sys
def scores(path):
    data = open(path, "rb").read()
    return array.array("f", data[10 + int.from_bytes(data[8:10], "little"):])
a, b = (scores(f"{sys.argv[1]}/{name}/output_0.npy") for name in ("native", "oldest"))
if len(a) != len(b) or any(abs(x - y) > 1e-5 for x, y in zip(a, b)):
    print(list(a), list(b))
PY
)"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
