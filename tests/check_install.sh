#!/usr/bin/env bash
# Installs into an empty folder and builds the README's example and the guide's service against it, as C and as C++, found
# by pkg-config.
set -u
cd "$(dirname "$0")/.."
build=${1:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

expect() # DESCRIPTION COMMAND...
{
    local what=$1 output
    shift
    if output=$("$@" 2>&1); then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf '%s:\n%s\n' "$what" "$(tail -n 10 <<<"$output")"
    fi
}

says_three() # PROGRAM: the example names the digit
{
    local output
    output=$("$1" "$build/digits.bin") && grep -qx 'this is a 3' <<<"$output" || { echo "it says: $output" && return 1; }
}

needs_no_protobuf() # a build from nothing, as it would go
{
    ! make --no-print-directory -n BUILD="$work/new" install-library PREFIX="$work/library" | grep -E 'protoc|onnx|npz|infer-run'
}
is_machine_code() # whatever -flto asks for
{
    make --no-print-directory -s BUILD="$work/lto" CFLAGS=-flto "$work/lto/obj/kernels/base.o" &&
        ! readelf -S -W "$work/lto/obj/kernels/base.o" | grep -F gnu.lto
}

expect "the library alone needs no protobuf-c" needs_no_protobuf
expect "-flto leaves machine code, whose names can be made local" is_machine_code
expect "OBJCOPY and STRIP can be set" sh -c \
    "make -n BUILD='$work/new' OBJCOPY=other-objcopy STRIP=other-strip install-library V=1 | grep -c '^other-' | grep -qx 2"
expect "make install" make --no-print-directory -s BUILD="$build" install PREFIX="$work/usr"
export PKG_CONFIG_PATH="$work/usr/lib/pkgconfig"
# shellcheck disable=SC2046 # flags are words
flags=$(pkg-config --cflags --libs infer)

awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' README.md >"$work/example.c"
cp "$work/example.c" "$work/example.cpp"
# shellcheck disable=SC2086
expect "the README's example as C" cc -std=c11 -Wall -Wextra -Werror "$work/example.c" $flags -o "$work/c"
# shellcheck disable=SC2086
expect "the README's example as C++" g++ -std=c++17 -Wall -Wextra -Werror "$work/example.cpp" $flags -o "$work/cpp"
awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' docs/guide.md >"$work/service.c"
cp "$work/service.c" "$work/service.cpp"
# shellcheck disable=SC2086
expect "the guide's service as C" cc -std=c11 -Wall -Wextra -Werror "$work/service.c" $flags -o "$work/service"
# shellcheck disable=SC2086
expect "the guide's service as C++" g++ -std=c++17 -Wall -Wextra -Werror "$work/service.cpp" $flags -o "$work/service_cpp"
serves() # PROGRAM: four clients have their answer, hundreds of requests of one image are one run
{
    local output
    output=$("$1" "$build/digits.bin") && [ "$(grep -cx 'this is a 3' <<<"$output")" -eq 4 ] &&
        grep -qx '400 requests, 1 runs' <<<"$output" || { echo "it says: $output" && return 1; }
}
expect "the C service's answers" serves "$work/service"
expect "the C++ service's answers" serves "$work/service_cpp"
expect "the C program's answer" says_three "$work/c"
expect "the C++ program's answer" says_three "$work/cpp"
for header in infer infer_predictor; do
    expect "$header.h alone as strict C" \
        cc -std=c99 -pedantic-errors -Wall -Wextra -Werror -fsyntax-only -x c "$work/usr/include/$header.h"
    expect "$header.h alone as C++" g++ -std=c++17 -Wall -Wextra -Werror -fsyntax-only -x c++ "$work/usr/include/$header.h"
done
expect "installed infer-run" "$work/usr/bin/infer-run" "$build/digits.bin" tests/demo/digit_3.npy
expect "nothing but the library, the headers and the tools is installed" \
    test -z "$(cd "$work/usr" && find . -type f | grep -vE '^\./(lib/(libinfer\.a|pkgconfig/infer\.pc)|include/infer(_predictor)?\.h|bin/infer-[a-z]+)$')"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
