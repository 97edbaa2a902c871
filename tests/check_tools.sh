#!/usr/bin/env bash
# The command line: every tool with good usage and bad. Needs bash and python3's standard library.
set -u
cd "$(dirname "$0")/.."
build=$(cd "${1:-build}" && pwd) || exit 1
PATH=$build:$PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
model=$build/digits.bin onnx=$PWD/tests/demo/digits.onnx digit=$PWD/tests/demo/digit_3.npy labels=$PWD/tests/demo/labels.txt
unset INFER_ISA

# --- how a run is judged --------------------------------------------------------------------------------------

verdict() # DESCRIPTION PROBLEM: passes where PROBLEM is empty
{
    if [ -z "$2" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED %s\n%s\n' "$1" "$(head -n 12 <<<"$2" | sed 's/^/    /')"
    fi
}

run() # COMMAND...: leaves its status, $work/out and $work/err
{
    "$@" >"$work/out" 2>"$work/err" </dev/null
    status=$?
}

# done_with DESCRIPTION PATTERN COMMAND...: exits 0, says nothing on stderr, and prints PATTERN (extended; '' nothing).
done_with()
{
    local what=$1 pattern=$2 problem=""
    shift 2
    run "$@"
    [ "$status" -eq 0 ] || problem="exit code $status: $(cat "$work/err")"
    [ ! -s "$work/err" ] || problem+=" on stderr: $(cat "$work/err")"
    if [ -z "$pattern" ]; then
        [ ! -s "$work/out" ] || problem+=" on stdout: $(cat "$work/out")"
    else
        tr '\n' ' ' <"$work/out" | grep -qE -e "$pattern" || problem+=" no '$pattern' in: $(cat "$work/out")"
    fi
    verdict "$what: $*" "$problem"
}

# refused STATUS PATTERN COMMAND...: that exit code, nothing on stdout, and one line on stderr: "TOOL: ...PATTERN...".
refused()
{
    local expected=$1 pattern=$2 problem=""
    shift 2
    run "$@"
    [ "$status" -eq "$expected" ] || problem="exit code $status instead of $expected"
    [ ! -s "$work/out" ] || problem+=" on stdout: $(head -c 300 "$work/out")"
    [ "$(wc -l <"$work/err")" -eq 1 ] || problem+=" not one line:"
    [ "$1" = timed ] && shift
    grep -qE -e "^$(basename "$1"): .*$pattern" "$work/err" || problem+=" no '$pattern' in: $(cat "$work/err")"
    verdict "$*" "$problem"
}

timed() # COMMAND...: for what must not wait for an end that never comes
{
    timeout 10 "$@"
}

same() # DESCRIPTION FILE FILE
{
    verdict "$1" "$(cmp "$2" "$3" 2>&1)"
}

# --- files to work on -----------------------------------------------------------------------------------------

python3 - "$work" "$model" "$digit" <<'PY' || exit 1
import os, struct, sys

work, model, digit = sys.argv[1:]


def npy(name, descr, shape, content, cut=0):
    text = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (descr, shape)
    text += " " * (-(len(text) + 11) % 64) + "\n"
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + content
    open(os.path.join(work, name), "wb").write(data[: len(data) - cut])


ones = struct.pack("<64f", *[1.0] * 64)
npy("row.npy", "<f4", "(1, 2)", struct.pack("<2f", 1.0, 1.0))
npy("two.npy", "<f4", "(2,)", struct.pack("<2f", 1.0, 1.0))
npy("double.npy", "<f8", (1, 1, 8, 8), struct.pack("<64d", *[1.0] * 64))
npy("shape.npy", "<f4", (1, 1, 4, 16), ones)
npy("rank.npy", "<f4", (1, 64), ones)
npy("cut.npy", "<f4", (1, 1, 8, 8), ones, cut=5)
open(os.path.join(work, "text.npy"), "w").write("not an array\n")
open(os.path.join(work, "empty.npy"), "w").close()
npy("infinite.npy", "<f4", (1, 1, 8, 8), struct.pack("<64f", *[1.0] * 5, float("-inf"), *[1.0] * 58))
npy("not_a_number.npy", "<f4", (1, 1, 8, 8), struct.pack("<64f", *[1.0] * 63, float("nan")))
npy("batch_of_ones.npy", "<f4", (2, 1, 8, 8), ones + ones)
npy("none.npy", "<f4", (0, 1, 8, 8), b"")
image = open(digit, "rb").read()
npy("batch.npy", "<f4", (3, 1, 8, 8), image[-256:] + ones + image[-256:])

good = open(model, "rb").read()
open(os.path.join(work, "cut.bin"), "wb").write(good[: len(good) // 2])
open(os.path.join(work, "empty.bin"), "wb").close()
for name, place in (("magic.bin", 0), ("header.bin", 20), ("weights.bin", len(good) - 100)):
    bytes_ = bytearray(good)
    bytes_[place] ^= 0xFF
    open(os.path.join(work, name), "wb").write(bytes_)
open(os.path.join(work, "cut.onnx"), "wb").write(open("tests/demo/digits.onnx", "rb").read()[:3000])
PY

# --- every tool -----------------------------------------------------------------------------------------------

tools=()
for tool in "$build"/infer-*; do
    [ -x "$tool" ] && [ -f "$tool" ] && tools+=("$(basename "$tool")")
done
verdict "tools are there" "$([ ${#tools[@]} -ge 2 ] || echo "only ${tools[*]} in $build")"
for tool in "${tools[@]}"; do
    done_with "help" "^Usage: $tool .*--help.*Example: $tool .*Exit codes:" "$tool" --help
    done_with "version" "^$tool [0-9]+\.[0-9]+\.[0-9]+ $" "$tool" --version
    refused 2 "'--no-such-option'" "$tool" --no-such-option
    refused 2 "--help" "$tool"
    "$tool" --help >/dev/full 2>"$work/err"
    verdict "$tool --help on a full disk" "$([ $? -eq 1 ] && grep -q "$tool: standard output: " "$work/err" || cat "$work/err")"
done

# --- infer-convert --------------------------------------------------------------------------------------------

done_with "converts" '' infer-convert "$onnx" "$work/again.bin"
same "the same bytes each time" "$work/again.bin" "$model"
infer-convert - - <"$onnx" >"$work/piped.bin" 2>"$work/err"
same "through stdin and stdout" "$work/piped.bin" "$model"
optimised=$work/optimised.bin
done_with "--optimize" '' infer-convert "$onnx" "$optimised" --optimize
infer-convert --optimize - - <"$onnx" >"$work/piped.bin" 2>"$work/err"
same "--optimize through stdin and stdout, the same bytes each time" "$work/piped.bin" "$optimised"
if grep -q avx2 /proc/cpuinfo; then
    packed=$work/packed.bin
    done_with "--pack" '' infer-convert "$onnx" "$packed" --optimize --pack avx2 --shape batch=1
    infer-convert "$optimised" "$work/packed2.bin" --optimize --pack avx2 --shape image=1x1x8x8
    same "a model.bin is packed as the ONNX model is" "$packed" "$work/packed2.bin"
    done_with "infer-inspect of a packed file" 'packs +[0-9,]+ bytes  of these, packed for avx2.*stored +[1-9].*packed +0 bytes' \
        infer-inspect "$packed" --isa avx2 --shape batch=1
    done_with "infer-inspect of a packed file, other kernels" 'stored +0 bytes' infer-inspect "$packed" --isa reference --shape batch=1
    done_with "infer-run of a packed file" 'weights packed in the file for avx2 output' infer-run "$packed" "$digit" --isa avx2
    infer-run "$packed" "$digit" --isa avx2 -o "$work/of_packed" && infer-run "$optimised" "$digit" --isa avx2 -o "$work/of_optimised"
    same "a packed file gives the same bits" "$work/of_packed/output_0.npy" "$work/of_optimised/output_0.npy"
    python3 - "$packed" "$work/damaged_pack.bin" <<'PY'
import struct, sys
bytes_ = bytearray(open(sys.argv[1], "rb").read())
offset, size = struct.unpack_from("<QQ", bytes_, bytes_.index(b"pckd") + 16)
bytes_[offset + size - 8] ^= 1
open(sys.argv[2], "wb").write(bytes_)
PY
    refused 1 "damaged_pack\.bin: pack [0-9]+, made of '.*' for avx2, does not match its checksum" \
        infer-run "$work/damaged_pack.bin" "$digit" --isa avx2
    refused 1 "damaged_pack\.bin: pack [0-9]+ does not match its checksum" infer-inspect "$work/damaged_pack.bin"
fi
refused 1 "batch.*--shape" infer-convert "$onnx" "$work/x.bin" --optimize --pack avx2
refused 1 "no input and no symbol" infer-convert "$onnx" "$work/x.bin" --optimize --pack avx2 --shape nosuch=1
refused 1 "set-dim fixes dimensions of ONNX models" infer-convert "$optimised" "$work/x.bin" --set-dim batch=1
refused 2 "--pack needs --optimize" infer-convert "$onnx" "$work/x.bin" --pack avx2
refused 2 "--pack takes avx2 or avx512, not 'sse'" infer-convert "$onnx" "$work/x.bin" --optimize --pack sse
refused 2 "--pack avx2 is given twice" infer-convert "$onnx" "$work/x.bin" --optimize --pack avx2 --pack avx2
refused 2 "--shape is for --pack" infer-convert "$onnx" "$work/x.bin" --optimize --shape batch=1
refused 2 "--shape takes NAME=1x3x224x224" infer-convert "$onnx" "$work/x.bin" --optimize --pack avx2 --shape batch
done_with "--optimize --set-dim" '' infer-convert "$onnx" "$work/one_digit.bin" --optimize --set-dim batch=1
done_with "--optimize --set-dim fixes the dimension" 'image +float32 1x1x8x8.*optimised ' infer-inspect "$work/one_digit.bin"
refused 1 'cut\.onnx: ' infer-convert "$work/cut.onnx" "$work/x.bin" --optimize
refused 1 'nosuch\.onnx: cannot open' infer-convert "$work/nosuch.onnx" "$work/x.bin"
refused 1 'cut\.onnx: ' infer-convert "$work/cut.onnx" "$work/x.bin"
refused 1 "text\.npy: " infer-convert "$work/text.npy" "$work/x.bin"
refused 1 "nosuch/x\.bin" infer-convert "$onnx" "$work/nosuch/x.bin"
refused 1 "/dev/full: .*No space" infer-convert "$onnx" /dev/full
refused 1 "nosuch" infer-convert "$onnx" "$work/x.bin" --set-dim nosuch=1
refused 2 "set-dim takes NAME=N" infer-convert "$onnx" "$work/x.bin" --set-dim 3
border=tests/data/onnx/border.onnx
done_with "--elements" '' infer-convert "$border" "$work/border.bin" --elements xs=1 --elements ys=2 --elements bias=none
done_with "--elements makes inputs" 'xs\[0\] +float32 .*ys\[1\] +float32 ' infer-inspect "$work/border.bin"
refused 1 "input 'xs' is a sequence, which is not supported" infer-convert "$border" "$work/x.bin"
refused 1 "no input or output 'nosuch'" infer-convert "$onnx" "$work/x.bin" --elements nosuch=1
refused 2 "elements takes NAME=N or NAME=none" infer-convert "$onnx" "$work/x.bin" --elements image=some
refused 2 "two file names" infer-convert "$onnx"
refused 2 "two file names" infer-convert "$onnx" "$work/x.bin" "$work/y.bin"
verdict "a failed conversion leaves no file" "$(ls "$work/x.bin" 2>/dev/null)"

# --- infer-run: results ---------------------------------------------------------------------------------------

done_with "for people" 'kernels.*output 0  scores  float32 1x10.*class 3  three.*latency ' \
    infer-run "$model" "$digit" --labels "$labels"
printf 'zero\r\n\r\n\nthree\r\nfour' >"$work/gaps.txt"
done_with "empty labels and other line ends" 'class 3  three [ 0-9].*latency ' \
    infer-run "$model" "$digit" --labels "$work/gaps.txt"
done_with "several runs" 'median of 5 runs' infer-run "$model" "$digit" --warmup 2 --repeat 5
done_with "-o" '' infer-run "$model" "$digit" -o "$work/one"
done_with "--output" '' infer-run "$model" "$digit" --output "$work/one"
done_with "by name" '' infer-run "$model" "image=$digit" -o "$work/named"
same "NAME=FILE gives the same" "$work/one/output_0.npy" "$work/named/output_0.npy"
done_with ".onnx" '' infer-run "$onnx" "$digit" -o "$work/direct"
same "the .onnx gives what the .bin gives" "$work/one/output_0.npy" "$work/direct/output_0.npy"
infer-run "$model" - -o "$work/piped" <"$digit" >"$work/out" 2>&1
same "input from stdin" "$work/one/output_0.npy" "$work/piped/output_0.npy"
infer-run - "$digit" -o "$work/piped_model" <"$model" >"$work/out" 2>&1
same "model from stdin" "$work/one/output_0.npy" "$work/piped_model/output_0.npy"
infer-run "$model" "$work/batch.npy" -o "$work/threads_1" --threads 1
infer-run "$model" "$work/batch.npy" -o "$work/threads_2" --threads 2
infer-run "$model" "$work/batch.npy" -o "$work/threads_7" --threads 7
same "1 thread and 2" "$work/threads_1/output_0.npy" "$work/threads_2/output_0.npy"
same "1 thread and 7" "$work/threads_1/output_0.npy" "$work/threads_7/output_0.npy"
few_threads() { (ulimit -v 300000 && "$@"); } # a stack is 8 MB of addresses
done_with "threads that do not start" '^cpu, (reference|avx2|avx512) kernels, [0-9]{1,2} threads \(1000 were asked for; the system started no more\)' \
    few_threads infer-run "$model" "$digit" --threads 1000
done_with "reference kernels" '' infer-run "$model" "$digit" -o "$work/reference" --isa reference
INFER_ISA=reference infer-run "$model" "$digit" -o "$work/environment" >"$work/out" 2>&1
same "--isa and INFER_ISA" "$work/reference/output_0.npy" "$work/environment/output_0.npy"
done_with "--no-optimize" '' infer-run "$model" "$digit" -o "$work/plain" --no-optimize
done_with "--memory-saving" '' infer-run "$model" "$digit" -o "$work/saving" --memory-saving
same "--memory-saving and without" "$work/one/output_0.npy" "$work/saving/output_0.npy"
for option in --threads=1 --no-optimize --memory-saving; do
    done_with "an optimised file" 'compare 0  scores .* ok' \
        infer-run "$optimised" "$digit" --compare "$work/plain" --tolerance 1e-5 "$option"
done
done_with "a deadline that suffices" '' infer-run "$model" "$digit" -o "$work/one" --deadline 60
done_with "a limit that suffices" '' infer-run "$model" "$digit" -o "$work/one" --memory-limit 1G
verdict "three digits at once are what they are one by one" "$(python3 - "$work" <<'PY'
import array, sys


def scores(name):
    data = open(f"{sys.argv[1]}/{name}/output_0.npy", "rb").read()
    return data[10 + int.from_bytes(data[8:10], "little"):]


one, batch = scores("one"), scores("threads_1")
if batch[:40] != one or batch[80:] != one or batch[40:80] == one:
    print(array.array("f", one), array.array("f", batch))
PY
)"

# --- infer-run: the report ------------------------------------------------------------------------------------

cat >"$work/report.py" <<'PY'
"""Says what is wrong with a report of infer-run."""
import json, sys

text = open(sys.argv[1]).read()
report = json.loads(text)
fields = {
    "model": str, "device": str, "isa": str, "threads": int, "threads_wanted": int, "precision": str, "load_ms": float, "first_run_ms": float,
    "latency_ms": dict, "runs": int, "throughput_per_s": float, "weight_bytes": int, "constant_bytes": int,
    "stored_bytes": int, "packed_bytes": int, "table_bytes": int, "activation_bytes": int, "activation_lower_bound_bytes": int,
    "activation_is_least": bool, "workspace_bytes": int, "result_bytes": int, "context_bytes": int,
    "peak_rss_bytes": int, "steps": int, "inputs": list, "outputs": list,
}
for name in fields.keys() ^ report.keys():
    print(name, "is missing" if name in fields else "is one field too many")
for name in fields.keys() & report.keys():
    if type(report[name]) is not fields[name]:
        print(name, "is", report[name])
latency = report["latency_ms"]
order = [latency[key] for key in ("min", "median", "p90", "p99", "max")]
if set(latency) != {"min", "median", "p90", "p99", "max", "mean"} or order != sorted(order) or order[0] <= 0:
    print("latency_ms is", latency)
if report["inputs"] != [{"name": "image", "dtype": "float32", "shape": [1, 1, 8, 8]}]:
    print("inputs are", report["inputs"])
if report["outputs"] != [{"name": "scores", "dtype": "float32", "shape": [1, 10]}]:
    print("outputs are", report["outputs"])
if (report["device"], report["precision"], report["threads"], report["runs"]) != ("cpu", "fp32", 2, 3):
    print("device, precision, threads, runs:", report)
if report["isa"] not in ("reference", "avx2", "avx512") or report["weight_bytes"] < 10000 or report["steps"] < 3:
    print("isa, weight_bytes, steps:", report)
if not report["activation_lower_bound_bytes"] <= report["activation_bytes"]:
    print("activation_bytes is", report["activation_bytes"])
PY
report() # DESCRIPTION FILE
{
    verdict "$1" "$(python3 "$work/report.py" "$2" 2>&1)"
}
done_with "report in a file" 'latency' infer-run "$model" "$digit" --json "$work/report.json" --threads 2 --repeat 3
report "--json FILE" "$work/report.json"
done_with "report on stdout" '^\{"model":.*\} $' infer-run "$model" "$digit" --json - --threads 2 --repeat 3 -o "$work/one"
report "--json -" "$work/out"
done_with "the kernels used" '"isa":"reference"' infer-run "$model" "$digit" --json - --isa reference

# --- infer-run: watching and comparing ------------------------------------------------------------------------

done_with "--profile" 'latency' infer-run "$model" "$digit" --profile "$work/trace.json"
done_with "--profile -" '^\{.*traceEvents.*\} $' infer-run "$model" "$digit" --profile -
verdict "the trace" "$(python3 - "$work/trace.json" "$work/out" <<'PY' 2>&1
import json, sys

json.load(open(sys.argv[2]))
events = json.load(open(sys.argv[1]))["traceEvents"]
slices = [event for event in events if event["ph"] == "X"]
conv = next(event for event in slices if event["name"] == "conv1")
if len(slices) < 5 or any(s["dur"] < 0 or s["ts"] < 0 for s in slices):
    print(slices)
if not any(event["ph"] == "M" and event["name"] == "thread_name" for event in events):
    print("no thread has a name")
if conv["args"]["outputs"] != ["float32 1x16x8x8"] or not conv["args"]["kernel"].startswith("conv"):
    print(conv)
# 16 channels of 8x8, 9 products each.
flops = conv["args"]["GFLOP/s"] * conv["dur"] * 1e3
if abs(flops - 2 * 16 * 64 * 9) > 0.02 * flops:
    print(flops, "floating point operations in", conv)
PY
)"
infer-run "$model" "$digit" --dump "$work/fused_dump" -o "$work/one" >"$work/out" 2>"$work/err"
verdict "--dump lists what has no file" "$([ $? -eq 0 ] && [ "$(ls "$work/fused_dump" | wc -l)" -eq \
    $((12 - $(grep -c "^infer-run: no file in $work/fused_dump for " "$work/err"))) ] || cat "$work/err")"
done_with "--dump" '' infer-run "$model" "$digit" --dump "$work/dump" -o "$work/one" --no-optimize
same "the dump has the output too" "$work/dump/scores.npy" "$work/one/output_0.npy"
verdict "--dump wrote the intermediates" "$(cd "$work/dump" && ls conv1.npy relu2.npy flat.npy 2>&1 >/dev/null)"
done_with "--compare" 'compare 0  scores .* ok' infer-run "$model" "$digit" --compare "$work/one"
done_with "--compare with room" 'relative [01].* ok' \
    infer-run "$model" tests/demo/digit_1.npy --compare "$work/one" --tolerance 2
infer-run "$model" tests/demo/digit_1.npy --compare "$work/one" >"$work/out" 2>"$work/err"
verdict "--compare sees a difference" "$([ $? -eq 1 ] && grep -q 'PAST' "$work/out" && [ "$(wc -l <"$work/err")" -eq 1 ] &&
    grep -q "^infer-run: $work/one/output_0.npy: element 3 differs" "$work/err" || cat "$work/out" "$work/err")"
mkdir "$work/other"
cp "$digit" "$work/other/output_0.npy"
infer-run "$model" "$digit" --compare "$work/other" >"$work/out" 2>"$work/err"
verdict "--compare wants the same shape" \
    "$([ $? -eq 1 ] && grep -q 'is float32 1x1x8x8; the output is float32 1x10' "$work/err" || cat "$work/err")"
refused 1 "output_0\.npy: cannot open" infer-run "$model" "$digit" -o "$work/one" --compare "$work"
refused 1 "nosuch/t\.json: cannot write" infer-run "$model" "$digit" --profile "$work/nosuch/t.json"
refused 1 "digit_3\.npy: cannot make" infer-run "$model" "$digit" --dump "$digit"
refused 2 "'much'" infer-run "$model" "$digit" --compare "$work/one" --tolerance much
refused 2 "'-1'" infer-run "$model" "$digit" --compare "$work/one" --tolerance -1
refused 2 "same folder" infer-run "$model" "$digit" --compare "$work/one" -o "$work/one"
refused 2 "only one" infer-run "$model" "$digit" --json - --profile -

# --- infer-run: bisect ----------------------------------------------------------------------------------------

# An ONNX file by hand, of elementwise nodes that fuse and others that do not. A zero in x gives an infinity, and that a
# NaN; the one in the mask is meant.
python3 - "$work" <<'PY' || exit 1
import os, struct, sys

work = sys.argv[1]


def varint(number):
    return bytes([number & 127 | 128]) + varint(number >> 7) if number > 127 else bytes([number])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(name, dtype, *dims):
    shape = b"".join(field(1, field(1, dim)) for dim in dims)
    return field(1, name) + field(2, field(1, field(1, dtype) + field(2, shape)))


def node(op, inputs, output, attribute=b""):
    inputs = b"".join(field(1, name) for name in inputs)
    return field(1, inputs + field(2, output) + field(3, "make " + output) + field(4, op) + attribute)


def npy(name, descr, values):
    code = {"<f4": "f", "<i8": "q"}[descr]
    text = "{'descr': '%s', 'fortran_order': False, 'shape': (%d,), }\n" % (descr, len(values))
    data = struct.pack("<H", len(text)) + text.encode() + struct.pack(f"<{len(values)}{code}", *values)
    open(os.path.join(work, name), "wb").write(b"\x93NUMPY\x01\x00" + data)


mask = field(1, 4) + field(2, 1) + field(8, "mask") + field(9, struct.pack("<4f", 0, 0, -float("inf"), 0))
graph = field(5, mask) + node("Add", ["x", "mask"], "masked") + node("Softmax", ["masked"], "chosen")
graph += field(12, tensor("chosen", 1, 4)) + node("Reciprocal", ["x"], "a/inverse") + node("Sub", ["a/inverse", "a/inverse"], "none")
graph += node("Neg", ["none"], "negated") + node("Softmax", ["negated"], "soft") + node("Relu", ["soft"], "y")
axis = field(5, field(1, "axis") + field(3, 0) + field(20, 2))
graph += node("Concat", ["x", "soft", "negated"], "joined", axis) + field(12, tensor("joined", 1, 12))
column, flat = field(1, 4) + field(1, 1) + field(2, 1), field(1, 1) + field(2, 7)
graph += field(5, column + field(8, "column") + field(9, struct.pack("<4f", 1, 2, 3, 5)))
graph += field(5, flat + field(8, "flat") + field(9, struct.pack("<q", 16)))
graph += node("Unsqueeze", ["x", "first axis"], "row") + node("MatMul", ["column", "row"], "square")
graph += field(5, flat + field(8, "first axis") + field(9, struct.pack("<q", 0)))
graph += node("Transpose", ["square"], "turned") + node("Reshape", ["turned", "flat"], "line")
graph += node("Softmax", ["line"], "sixteen") + field(12, tensor("sixteen", 1, 16))
graph += node("ArgMax", ["x"], "place") + field(2, "bisected") + field(11, tensor("x", 1, 4))
graph += field(12, tensor("y", 1, 4)) + field(12, tensor("place", 7, 1))
open(os.path.join(work, "bisect.onnx"), "wb").write(field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13)))
npy("x.npy", "<f4", [1, 2, 3, 4])
npy("zero.npy", "<f4", [1, 2, 0, 4])
npy("nan.npy", "<f4", [1, 2, float("nan"), 4])
for name in ("fused", "early", "whole", "wrong", "infinite", "joined"):
    os.mkdir(os.path.join(work, name))
npy("fused/negated.npy", "<f4", [0, 0, 1, 0])
npy("fused/a_inverse.npy", "<f4", [1, 1 / 2, 1 / 3, 1 / 4])
npy("early/y.npy", "<f4", [1 / 4, 1 / 4, 1 / 4, 1 / 2])
npy("early/soft.npy", "<f4", [1 / 4] * 4)
npy("whole/place.npy", "<i8", [2])
npy("joined/joined.npy", "<f4", [1, 2, 3, 4] + [1 / 4] * 3 + [7, 0, 0, 0, 0])
npy("joined/negated.npy", "<f4", [0] * 4)
npy("wrong/soft.npy", "<f4", [1 / 4] * 5)
npy("infinite/soft.npy", "<f4", [1 / 4, 1 / 4, float("inf"), 1 / 4])
PY
bisected=$work/bisect.onnx x=$work/x.npy zero=$work/zero.npy

# differs_with PATTERN COMMAND...: exits 1, prints PATTERN, and says on one line of stderr which node it is.
differs_with()
{
    local pattern=$1 problem=""
    shift
    run "$@"
    [ "$status" -eq 1 ] || problem="exit code $status: $(cat "$work/err")"
    [ "$(grep -cE "^infer-run: .*: node '.*' \(.*\) is the first whose output differs past --tolerance" "$work/err")" -eq 1 ] &&
        [ "$(wc -l <"$work/err")" -eq 1 ] || problem+=" on stderr: $(cat "$work/err")"
    tr '\n' ' ' <"$work/out" | grep -qE -e "$pattern" || problem+=" no '$pattern' in: $(cat "$work/out")"
    verdict "$*" "$problem"
}

fused='make a/inverse \(Reciprocal\), make none \(Sub\), make negated \(Neg\)'
nothing='^[0-9]+ values compared, 0 differ, [0-9]+ fused away or folded; [0-9]+ of [0-9]+ steps use another kernel than the'
done_with "--bisect" "$nothing unoptimised program \$" infer-run "$model" "$digit" --bisect
done_with "--bisect of fused steps, and an infinity in a mask" '^[0-9]+ values compared, 0 differ, [0-9]+ fused.* program $' \
    infer-run "$bisected" "$x" --bisect
done_with "--bisect --against reference" "$nothing reference \$" infer-run "$model" "$digit" --bisect --against reference
done_with "--bisect of the unoptimised program" "$nothing reference \$" \
    infer-run "$model" "$digit" --bisect --against reference --no-optimize
done_with "--bisect --against a dump" '^[0-9]+ values compared, 0 differ, .*, 0 without a file $' \
    infer-run "$model" "$digit" --bisect --against "$work/dump"
differs_with '^first difference  relu1, .* relu1 \(Relu\), float32 1x16x8x8 .*between   image, .*: scaled \(Mul\), conv1 \(Conv\), relu1' \
    infer-run "$model" tests/demo/digit_1.npy --bisect --against "$work/dump"
done_with "--bisect of an optimised file" "$nothing unoptimised program \$" infer-run "$optimised" "$digit" --bisect
differs_with '^first difference  relu1, .*between   image, .*: scaled, conv1 \(Conv\), relu1' \
    infer-run "$optimised" tests/demo/digit_1.npy --bisect --against "$work/dump"
done_with "--bisect with room" ', 0 differ' \
    infer-run "$model" tests/demo/digit_1.npy --bisect --against "$work/dump" --tolerance 9
differs_with "negated, .*element \[2\]: -?0, expected 1; absolute 1, relative 1 .*value, and negated: $fused 1 v" \
    infer-run "$bisected" "$x" --bisect --against "$work/fused"
differs_with 'y, output.*\[3\]: 0\.25, expected 0\.5;.*  soft, the last equal value, and y: make y \(Relu\) 2 values' \
    infer-run "$bisected" "$x" --bisect --against "$work/early"
differs_with 'joined, .*\[7\]: 0\.25, expected 7;.*between   (x, negated|negated, x), .*: make soft \(Softmax\), make joined \(Concat\) ' \
    infer-run "$bisected" "$x" --bisect --against "$work/joined"
differs_with 'place, .*\(ArgMax\), int64 1   element \[0\]: 3, expected 2;' \
    infer-run "$bisected" "$x" --bisect --against "$work/whole" --tolerance 9
differs_with 'soft, .*\[2\]: 0\.25, expected inf; absolute inf' \
    infer-run "$bisected" "$x" --bisect --against "$work/infinite" --tolerance 9
done_with "where a NaN comes from" 'first NaN       element \[2\] of none, output of node make none \(Sub\); in the unoptimised' \
    infer-run "$bisected" "$zero" --bisect
done_with "where a fused NaN comes from" "of node make negated \(Neg\), with make a/inverse \(Reciprocal\), make none \(Sub\); in the optimised" \
    infer-run "$bisected" "$zero" --bisect
done_with "where an infinity comes from" 'first infinity .* of node make a/inverse \(Reciprocal\); in the unoptimised program $' \
    infer-run "$bisected" "$zero" --bisect
done_with "a NaN that came in" ', 0 differ.* first NaN       element \[2\] of input x; in both programs $' \
    infer-run "$bisected" "$work/nan.npy" --bisect
refused 1 "wrong/soft\.npy: is float32 5; the output is float32 4" \
    infer-run "$bisected" "$x" --bisect --against "$work/wrong"
refused 1 "nosuch: cannot open" infer-run "$model" "$digit" --bisect --against "$work/nosuch"
refused 1 "digit_3\.npy: cannot open" infer-run "$model" "$digit" --bisect --against "$digit"
refused 1 "/one: no file in it is named after a value of this run" infer-run "$model" "$digit" --bisect --against "$work/one"
refused 1 "cut\.npy: " infer-run "$model" "$work/cut.npy" --bisect
refused 1 "past the limit" infer-run "$model" "$digit" --bisect --memory-limit 64K
refused 2 "--against goes with --bisect" infer-run "$model" "$digit" --against reference
refused 2 "--no-optimize" infer-run "$model" "$digit" --bisect --no-optimize
for option in --output --labels --warmup --repeat --json --profile --compare --dump; do
    refused 2 "--bisect takes no $option" infer-run "$model" "$digit" --bisect "$option" 1
done
infer-run "$model" "$digit" --bisect >/dev/full 2>"$work/err"
verdict "--bisect on a full disk" "$([ $? -eq 1 ] && grep -q "standard output: cannot write" "$work/err" || cat "$work/err")"

# --- large ensembles of trees ---------------------------------------------------------------------------------

# bounded MOST STATUS DESCRIPTION COMMAND...: ends with STATUS, and never takes more memory than MOST bytes.
bounded()
{
    local problem
    problem=$(python3 - "$1" "$2" "${@:4}" <<'PY' 2>&1
import os, sys

most, expected, *command = sys.argv[1:]
_, status, usage = os.wait4(os.posix_spawnp(command[0], command, os.environ), 0)
peak, code = usage.ru_maxrss * 1024, os.waitstatus_to_exitcode(status)
if code != int(expected) or peak > int(most):
    print(f"exit code {code}; {peak} bytes at the peak, at most {most} are allowed")
PY
    )
    verdict "$3" "$(grep 'exit code' <<<"$problem")"
}

# within TIMES FILE DESCRIPTION COMMAND...: exits 0, and never takes more memory than so many times the file.
within()
{
    bounded $(($1 * $(stat -c %s "$2"))) 0 "${@:3}"
}

python3 tests/make_ensemble.py "$work" || exit 1
within 3 "$work/ensemble.onnx" "memory to convert an ensemble" infer-convert "$work/ensemble.onnx" "$work/ensemble.bin"
within 3 "$work/ensemble.onnx" "memory to run an ensemble" \
    infer-run "$work/ensemble.bin" "$work/rows.npy" --compare "$work/scores"
within 3 "$work/ensemble.onnx" "memory to run an ensemble's .onnx" \
    infer-run "$work/ensemble.onnx" "$work/rows.npy" --compare "$work/scores"
verdict "an ensemble's .bin is no larger than its .onnx" \
    "$(find "$work/ensemble.bin" -size +"$(stat -c %s "$work/ensemble.onnx")c")"

# --- a limit on memory bounds the whole process -----------------------------------------------------------------

# limited MODEL INPUT: what would take 482 MB or more is refused before it is allocated.
limited()
{
    refused 1 "limit" infer-run "tests/data/limit/$1" "tests/data/limit/$2" --memory-limit 64M
    bounded $(((64 + 40) << 20)) 1 "memory to refuse $1" \
        infer-run "tests/data/limit/$1" "tests/data/limit/$2" --memory-limit 64M
}

limited resize_cubic.onnx three.npy
limited expand.onnx one.npy

# --- infer-run: what is refused -------------------------------------------------------------------------------

refused 1 'nosuch\.bin: cannot open' infer-run "$work/nosuch.bin" "$digit"
refused 1 'cannot open|directory' infer-run "$work" "$digit"
for damaged in cut.bin empty.bin magic.bin header.bin weights.bin; do
    refused 1 "$damaged: " infer-run "$work/$damaged" "$digit"
done
refused 1 'cut\.onnx: ' infer-run "$work/cut.onnx" "$digit"
refused 1 'nosuch\.npy: cannot open' infer-run "$model" "$work/nosuch.npy"
for damaged in cut.npy text.npy empty.npy; do
    refused 1 "$damaged: " infer-run "$model" "$work/$damaged"
done
refused 1 "'image'.*float64.*float32" infer-run "$model" "$work/double.npy"
refused 1 "'image'.*1x1x4x16" infer-run "$model" "$work/shape.npy"
refused 1 "'image'.*1x64" infer-run "$model" "$work/rank.npy"
refused 1 "input 0 'image'" infer-run "$model"
refused 1 "one input too many" infer-run "$model" "$digit" "$digit"
refused 1 "'image' is given twice" infer-run "$model" "$digit" "image=$digit"
refused 1 "has no input 'picture'; its inputs are image" infer-run "$model" "picture=$digit"
refused 1 "the run was given 0.05 s, which ended at node '" infer-run tests/data/stop/loop_forever.onnx --deadline 0.05
refused 1 "the run was given 0.05 s, which ended at node '" \
    infer-run tests/data/stop/scan_over_nothing.onnx tests/data/stop/scan_over_nothing.npy --deadline 0.05
refused 2 "--deadline takes seconds such as 0.5, not '0'" infer-run "$model" "$digit" --deadline 0
refused 2 "--deadline takes seconds such as 0.5, not '1s'" infer-run "$model" "$digit" --deadline 1s
refused 1 "past the limit" infer-run "$model" "$digit" --memory-limit 20K
refused 1 "past the limit" infer-run "$model" "$digit" --memory-limit 64K
refused 1 "digit_3\.npy/" infer-run "$model" "$digit" -o "$digit/x"
refused 1 "digit_3\.npy: cannot make" infer-run "$model" "$digit" -o "$digit"
refused 1 "/dev/full: .*No space" infer-run "$model" "$digit" -o "$work/one" --json /dev/full
refused 1 "nosuch/r\.json: " infer-run "$model" "$digit" -o "$work/one" --json "$work/nosuch/r.json"
refused 1 "nosuch\.txt: cannot open" infer-run "$model" "$digit" --labels "$work/nosuch.txt"
refused 1 "CUDA" infer-run "$model" "$digit" --device cuda
refused 2 "'0'" infer-run "$model" "$digit" --threads 0
refused 2 "'many'" infer-run "$model" "$digit" --threads many
refused 2 "'-1'" infer-run "$model" "$digit" --warmup -1
refused 2 "'0'" infer-run "$model" "$digit" --repeat 0
refused 2 "'sse'" infer-run "$model" "$digit" --isa sse
refused 2 "'tpu'" infer-run "$model" "$digit" --device tpu
refused 2 "'fp16'" infer-run "$model" "$digit" --factors fp16
refused 1 'the session runs on the CPU alone' infer-run "$model" "$digit" --factors bf16
refused 1 'the session runs on the CPU alone' infer-run "$model" "$digit" --factors tf32
refused 2 "'fp8'" infer-run "$model" "$digit" --precision fp8
refused 2 "'1T'" infer-run "$model" "$digit" --memory-limit 1T
refused 2 "needs a value" infer-run "$model" "$digit" --json
refused 2 "option '--nosuch' is unknown" infer-run "$model" "$digit" --nosuch
refused 2 "option '--dump' needs a value" infer-run "$model" "$digit" --dump
refused 2 "takes no value" infer-run "$model" "$digit" --no-optimize=1
INFER_ISA=sse infer-run "$model" "$digit" >"$work/out" 2>"$work/err"
verdict "a wrong INFER_ISA" "$([ $? -eq 1 ] && grep -q "INFER_ISA is 'sse'" "$work/err" || cat "$work/err" "$work/out")"
infer-run "$model" "$digit" >/dev/full 2>"$work/err"
verdict "infer-run on a full disk" "$([ $? -eq 1 ] && grep -q 'standard output: .*No space' "$work/err" || cat "$work/err")"

# --- what is given for something else -----------------------------------------------------------------------------

python3 - "$work" "$digit" <<'PY' || exit 1
import gzip, os, sys, zipfile

work, digit = sys.argv[1:]
path = lambda name: os.path.join(work, name)
open(path("pointer.onnx"), "w").write("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
open(path("page.bin"), "w").write("\n <!DOCTYPE html><title>404</title>")
gzip.open(path("packed.onnx"), "wb").write(b"model")
for name, arrays in {"one": ["any"], "named": ["other", "image"], "neither": ["a", "b"]}.items():
    with zipfile.ZipFile(path(name + ".npz"), "w") as archive:
        for array in arrays:
            archive.write(digit, array + ".npy")
PY

for tool in "infer-run" "infer-inspect"; do
    refused 1 "pointer\.onnx: is a Git LFS pointer" "$tool" "$work/pointer.onnx"
    refused 1 "page\.bin: is an HTML page" "$tool" "$work/page.bin"
    refused 1 "packed\.onnx: is compressed by gzip" "$tool" "$work/packed.onnx"
    refused 1 "one\.npz: is a zip archive" "$tool" "$work/one.npz"
    refused 1 "/dev/zero: is not a model file" timed "$tool" /dev/zero
done
refused 1 "pointer\.onnx: is a Git LFS pointer" infer-convert "$work/pointer.onnx" "$work/x.bin"
refused 1 "/dev/zero: is no NPY file" timed infer-run "$model" /dev/zero
done_with "an archive's only array" 'class 3' infer-run "$model" "$work/one.npz"
done_with "an archive's only array, for a name" 'class 3' infer-run "$model" image="$work/one.npz"
done_with "an archive's array of that name" 'class 3' infer-run "$model" "$work/named.npz"
refused 1 "neither\.npz: none of its 2 arrays has the name of an input \(image\)" infer-run "$model" "$work/neither.npz"
refused 1 "input 'image' is given twice" infer-run "$model" "$work/one.npz" "image=$digit"
for given in "$model" "$onnx"; do
    verdict "infer-run - <$given" "$(infer-run - "$digit" <"$given" 2>&1 | grep -q 'class 3' || echo no scores)"
    verdict "infer-run <(cat $given)" "$(infer-run <(cat "$given") "$digit" 2>&1 | grep -q 'class 3' || echo no scores)"
done
cp "$onnx" "$work/without_suffix"
done_with "ONNX by its content" 'class 3' infer-run "$work/without_suffix" "$digit"
done_with "an input with a default" 'inputs +w +float32 2, has a default +x +float32 2 ' \
    infer-inspect tests/data/onnx/optional_input.onnx
done_with "first values" 'output 1  ints  int64 3   1, 2, 3 ' infer-run tests/data/onnx/constants.onnx "$work/two.npy"
done_with "an input is left out" 'output 0  y  float32 2 +3  class 1 +2  class 0 ' \
    infer-run tests/data/onnx/optional_input.onnx x="$work/two.npy"

# Names with escapes, line ends, C1 controls and marks of direction.
for arguments in "infer-inspect" "infer-inspect --json" "infer-inspect --dot -" "infer-inspect --dump-after import" \
    "infer-inspect --memory -" "infer-run" "infer-run --json -" "infer-run --profile -" "infer-run --bisect" \
    "infer-run --no-optimize --dump $work/dumped"; do
    read -ra words <<<"$arguments"
    [ "${words[0]}" = infer-run ] && words+=("$work/row.npy")
    run "${words[0]}" tests/data/onnx/names_that_terminals_obey.onnx "${words[@]:1}"
    verdict "names are harmless: $arguments" \
        "$([ "$status" -eq 0 ] || echo "exit code $status"; cat "$work/out" "$work/err" | tr -d '\n' |
            LC_ALL=C grep -aP '[\x00-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]')"
done
verdict "dumped files have harmless names" "$(ls -b "$work/dumped" | grep -F '\')"

# A file that others cut while it is mapped; a copy does not mind.
for copy in "" --copy; do
    cp "$model" "$work/cut_later.bin"
    infer-run "$work/cut_later.bin" "$digit" --repeat 100000 --threads 1 $copy >"$work/out" 2>"$work/err" &
    sleep 0.2
    truncate -s 4096 "$work/cut_later.bin"
    wait $!
    status=$?
    [ -z "$copy" ] && expected="1 infer-run: a file was cut short, or its disk failed, while it was in use" || expected="0 "
    verdict "cut while it is used $copy" "$([ "$status $(cat "$work/err")" = "$expected" ] || echo "$status: $(cat "$work/err")")"
done

# --- infer-inspect --------------------------------------------------------------------------------------------

done_with "table" 'checksums right.*image +float32 \[batch, 1, 8, 8\].*operators.*Conv 2.*weights +[0-9,]+ bytes.*--shape' \
    infer-inspect "$model"
done_with "steps" 'arena .*lower bound.*isa .*step +kernel.*conv1 \(Conv\).*softmax \(Softmax\)' \
    infer-inspect "$model" --shape image=3x1x8x8
done_with "an optimised file" 'checksums right.*optimised   dead-code, .*fold-weights.*nodes +11 ' infer-inspect "$optimised"
verdict "no other file says so" "$(infer-inspect "$model" | grep optimised)"
done_with "its passes as JSON" '"passes":\["dead-code",.*"fold-weights".*\],"inputs"' infer-inspect "$optimised" --json
done_with "no passes as JSON" '"passes":\[\],"inputs"' infer-inspect "$model" --json
done_with "a node of an optimised file and the ONNX nodes it stands for" 'conv1 = Conv\(image, .*# conv1 \+ scaled ' \
    infer-inspect "$optimised" --dump-after import
done_with "a pass that does not run again" '' infer-inspect "$optimised" --dump-after fold-weights
done_with ".onnx" 'converted in memory.*Conv 2' infer-inspect "$onnx"
done_with "after a pass" '^graph digits .*input image float32 .*= Softmax\(.*output scores' \
    infer-inspect "$model" --dump-after dead-code
done_with "a pass with shapes known" '3x1x8x8' \
    infer-inspect "$model" --shape image=3x1x8x8 --dump-after slices
done_with "as imported" '= Flatten\(pool2\)' infer-inspect "$model" --dump-after import
done_with "files, and the table" 'operators' infer-inspect "$model" --shape image=3x1x8x8 \
    --memory "$work/plan.svg" --dot "$work/graph.dot" --json="$work/inspect.json"
done_with "Graphviz on stdout" '^digraph "digits".*float32 2x1x8x8.* \} $' \
    infer-inspect "$model" --shape image=2x1x8x8 --dot -
verdict "what infer-inspect wrote" "$(python3 - "$work" <<'PY' 2>&1
import json, re, sys
import xml.etree.ElementTree as tree

work = sys.argv[1]
report = json.load(open(f"{work}/inspect.json"))
program = report["program"]
if report["operators"]["Conv"] != 2 or report["inputs"][0]["shape"] != ["batch", 1, 8, 8] or report["nodes"] != 12:
    print("operators, inputs, nodes:", report)
if len(program["steps"]) < 5 or program["steps"][-1]["outputs"][0]["space"] != "output" or not program["complete"]:
    print("program:", program)
highest = 0
for step in program["steps"]:
    for output in step["outputs"]:
        if output and output["space"] == "arena":
            highest = max(highest, output["offset"] + output["bytes"])
    if step["workspace_bytes"]:
        highest = max(highest, step["workspace_offset"] + step["workspace_bytes"])
if not highest <= program["activation_bytes"] or program["activation_bytes"] < program["activation_lower_bound_bytes"]:
    print("buffers end at", highest, "in", program["activation_bytes"], program["activation_lower_bound_bytes"])

drawing = tree.parse(f"{work}/plan.svg").getroot()
names = [title.text for title in drawing.iter("{http://www.w3.org/2000/svg}title")]
if not any("conv1" in name and "bytes at" in name for name in names):
    print("no buffer of conv1 among", names)
dot = open(f"{work}/graph.dot").read()
if not 5 <= len(re.findall(r"^  node\d+ \[", dot, re.M)) <= 12 or "conv2" not in dot or "3x1x8x8" not in dot:
    print(dot)
PY
)"
done_with "weights of branches" '"If":2.*"parameters":8,"weight_bytes":8,' infer-inspect tests/data/onnx/if.onnx --json
for damaged in cut.bin empty.bin magic.bin header.bin weights.bin cut.onnx; do
    refused 1 "$damaged: " infer-inspect "$work/$damaged"
done
refused 1 'nosuch\.bin: cannot open' infer-inspect "$work/nosuch.bin"
refused 1 "input 'image' is \[batch, 1, 8, 8\]: name its size" infer-inspect "$model" --memory "$work/x.svg"
refused 1 "no input and no symbol 'picture'" infer-inspect "$model" --shape picture=1x1x8x8
refused 1 "'1x1' is no size such as 3" infer-inspect "$model" --shape batch=1x1
done_with "a symbol has a size" 'float32 3x16x8x8' infer-inspect "$model" --shape batch=3
refused 1 "'1x' is no shape" infer-inspect "$model" --shape image=1x
refused 1 "'1x1x8x99999999999' is no shape" infer-inspect "$model" --shape image=1x1x8x99999999999
refused 1 "'image'.*1x1x8x9" infer-inspect "$model" --shape image=1x1x8x9
refused 1 "nosuch/x\.svg: cannot write" infer-inspect "$model" --shape image=1x1x8x8 --memory "$work/nosuch/x.svg"
refused 1 "nosuch/x\.dot: cannot write" infer-inspect "$model" --dot "$work/nosuch/x.dot"
refused 1 "/dev/full: cannot write: No space" infer-inspect "$model" --json=/dev/full
refused 2 "no pass 'nosuch'; the passes are import, " infer-inspect "$model" --dump-after nosuch
refused 2 "takes NAME=" infer-inspect "$model" --shape 1x1x8x8
refused 2 "one model" infer-inspect "$model" "$model"

# --- infer-quantize -------------------------------------------------------------------------------------------

mkdir "$work/samples" "$work/no_samples"
cp tests/demo/digit_?.npy "$work/samples"
quantised=$work/quantised.bin
done_with "int8" 'layers +4 of 4 .*file +[0-9]+ bytes, ' \
    infer-quantize "$model" "$quantised" --precision int8 --calibrate "$work/samples"
infer-quantize "$onnx" - --precision int8 --calibrate tests/demo/digit_?.npy >"$work/piped.bin" 2>"$work/err"
same "the same bytes of an .onnx, of files one by one, and through stdout" "$work/piped.bin" "$quantised"
done_with "its nodes" 'operators +DequantizeLinear 8, QuantizeLinear 4,' infer-inspect "$quantised"
done_with "its digit" 'output.*scores' infer-run "$quantised" "$digit"
for method in auto minmax percentile entropy mse; do
    done_with "--method $method" "layers +4 of 4 .*ranges +by ${method/auto/[a-z]+}" infer-quantize "$model" "$work/x.bin" --precision int8 \
        --calibrate tests/demo/held_out_images.npy --method "$method"
done
done_with "--report" 'layers +3 of 4 .*error +[0-9.e-]+, .*time ' infer-quantize "$model" "$work/x.bin" --precision int8 \
    --calibrate "$work/samples" --keep dense2 --report "$work/report.csv"
verdict "the report" "$(tr '\n' ' ' <"$work/report.csv" |
    grep -qE '^layer,type,precision,.*"conv1",Conv,int8( weights)?,0,16,0,[0-9.]+,.*"dense2",Gemm,float32,.*,"--keep" "",model,' ||
    cat "$work/report.csv")"
done_with "--max-error that is kept" 'layers +[0-3] of 4 .*error +0 |layers +[0-3] of 4 .*error +[0-9.]+e-0[5-9]' \
    infer-quantize "$model" "$work/x.bin" --precision int8 --calibrate tests/demo/held_out_images.npy --max-error 5e-5
done_with "--max-error 0: nothing is made small" 'layers +0 of 4 .*error +0,' \
    infer-quantize "$model" "$work/x.bin" --precision int8 --calibrate tests/demo/held_out_images.npy --max-error 0
done_with "--dynamic" 'layers +4 of 4' infer-quantize "$model" "$work/x.bin" --precision int8 --dynamic
done_with "weights alone" 'layers +4 of 4' infer-quantize "$model" "$work/x.bin" --weights-only int8
done_with "weights of four bits" 'layers +4 of 4' infer-quantize "$model" "$work/x.bin" --weights-only int4 --block 16
done_with "runs with them" 'output.*scores' infer-run "$work/x.bin" "$digit"
done_with "fp16" 'layers +5 of 5' infer-quantize "$model" "$work/x.bin" --precision fp16
done_with "runs with it" 'output.*scores' infer-run "$work/x.bin" "$digit"
rm "$work/x.bin"
refused 1 'not_a_number\.npy: element 63 of input .image. is NaN' \
    infer-quantize "$model" "$work/x.bin" --precision int8 --calibrate "$work/not_a_number.npy"
refused 1 'none\.npy: input .image. is empty: there is no sample' \
    infer-quantize "$model" "$work/x.bin" --precision int8 --calibrate "$work/none.npy"
refused 1 'no_samples: the folder holds no \.npy' \
    infer-quantize "$model" "$work/x.bin" --precision int8 --calibrate "$work/no_samples"
refused 1 "shape\.npy: its shape is 1x1x4x16, that of input 'image' is batchx1x8x8" \
    infer-quantize "$model" "$work/x.bin" --precision int8 --calibrate "$work/shape.npy"
refused 1 'double\.npy: its type is float64' \
    infer-quantize "$model" "$work/x.bin" --precision int8 --calibrate "$work/double.npy"
refused 1 'nosuch\.npy: cannot open' infer-quantize "$model" "$work/x.bin" --precision int8 --calibrate "$work/nosuch.npy"
refused 1 "--keep 'nosuch': no layer" \
    infer-quantize "$model" "$work/x.bin" --precision int8 --calibrate "$work/samples" --keep nosuch
refused 1 'cut\.npy: ' infer-quantize "$model" "$work/x.bin" --precision int8 --calibrate "$work/samples" "$work/cut.npy"
refused 1 'infinite\.npy: element 5 of input .image. is infinite' \
    infer-quantize "$model" "$work/x.bin" --precision int8 --calibrate "$work/infinite.npy"
verdict "nothing is left of what was refused" "$(ls "$work"/x.bin* 2>/dev/null)"
cp "$quantised" "$work/x.bin"
mkfifo "$work/stalled.npy"
for signal in INT TERM KILL; do
    run timeout --signal=$signal 0.5 infer-quantize "$model" "$work/x.bin" --precision int8 \
        --calibrate "$work/samples" "$work/stalled.npy" 2>/dev/null
    verdict "a calibration that SIG$signal ends leaves the old file as it was" "$(
        [ "$status" -eq 124 ] || [ "$status" -eq 137 ] || echo "exit code $status"
        cmp "$quantised" "$work/x.bin" 2>&1
        ls "$work"/x.bin?* 2>/dev/null)"
done
run bash -c "ulimit -f 8; exec infer-quantize '$model' '$work/x.bin' --precision int8 --calibrate '$work/samples'" 2>/dev/null
verdict "so does a disk that is full" "$(
    [ "$status" -ne 0 ] || echo "exit code 0"
    cmp "$quantised" "$work/x.bin" 2>&1
    ls "$work"/x.bin?* 2>/dev/null)"
rm "$work/x.bin"
refused 1 'cut\.bin: ' infer-quantize "$work/cut.bin" "$work/x.bin" --precision fp16
refused 1 'nosuch/x\.bin' infer-quantize "$model" "$work/nosuch/x.bin" --precision fp16
for usage in "" "--precision int4" "--precision int8" "--precision fp16 --dynamic" "--precision int8 --calibrate a.npy --method max" \
    "--precision fp16 --max-error 1" "--precision int8 --calibrate a.npy --max-error x" "--precision fp16 --block 8" \
    "--weights-only int5" "--weights-only int8 --full-range" "--dynamic --equalise" "--weights-only int4 --block 1" \
    "--dynamic --weights-only int8"; do
    # shellcheck disable=SC2086
    refused 2 '--help' infer-quantize "$model" "$work/x.bin" $usage
done
for warned in "$digit|there is one sample" "$work/batch_of_ones.npy|hold one number throughout"; do
    run infer-quantize "$model" "$work/x.bin" --precision int8 --calibrate "${warned%|*}"
    verdict "warns: ${warned#*|}" "$([ "$status" -eq 0 ] && grep -q "^infer-quantize: warning: .*${warned#*|}" "$work/err" ||
        cat "$work/err")"
done

# --- infer-plan -----------------------------------------------------------------------------------------------

printf 'id,lower,upper,size\na,10,4611686018427387904,64\nb,-9223372036854775808,9223372036854775807,8\n' >"$work/plan.csv"
run timed infer-plan "$work/plan.csv" --svg "$work/plan.svg"
verdict "lifetimes of any length are drawn" \
    "$([ "$status" -eq 0 ] || echo "exit code $status"; grep -q 'steps 10 to 4611686018427387903</title>' "$work/plan.svg" &&
        [ "$(grep -c '^<text' "$work/plan.svg")" -le 40 ] || echo "no drawing, or too long a one")"

# --- infer-bench ----------------------------------------------------------------------------------------------

done_with "kernels are checked" 'softmax 1536x128 +softmax_f32_[a-z0-9_]+ +right' \
    infer-bench kernels --check-only --filter softmax
done_with "kernels are timed" "one core's peak.*GFLOP/s.*matmul 1x1000x2048 .*GFLOP/s +[0-9.]+ %" \
    infer-bench kernels --filter 'matmul 1x1000'
done_with "reference kernels only" 'reference +right $' \
    infer-bench kernels --check-only --filter 'reduce mean of rows' --isa reference
done_with "kernels as JSON" '"kernels":' infer-bench kernels --filter 'copy straight' --json -
cp "$work/out" "$work/kernels.json"
done_with "kinds of shape" 'gather: [0-9]+ % of.* of 7 below half of their neighbours' \
    infer-bench shapes --filter gather --json "$work/shapes.json"
done_with "choices of kernels" '[0-9]+ problems with a choice, [0-9]+ wrong; time lost' \
    infer-bench choice --filter softmax --random 2
done_with "a model" 'batch +threads.* 16 +2 .*/s' infer-bench model "$model" --threads 2 --json "$work/model.json"
done_with "one shape" ' 1 +1 .*/s' infer-bench model "$onnx" --threads 1 --shape image=2x1x8x8
verdict "the reports of infer-bench" "$(python3 - "$work" <<'PY' 2>&1
import json, sys

kernels = json.load(open(f"{sys.argv[1]}/kernels.json"))
if kernels["peak_gflop_per_s"] <= 0 or any(k["microseconds"] <= 0 or k["gb_per_s"] <= 0 for k in kernels["kernels"]):
    print(kernels)
if {k["problem"] for k in kernels["kernels"]} != {"copy straight"}:
    print(kernels)
shapes = json.load(open(f"{sys.argv[1]}/shapes.json"))["shapes"]
if len(shapes) != 7 or any(s["group"] != "gather" or s["microseconds"] <= 0 or s["share"] <= 0 for s in shapes):
    print(shapes)
runs = json.load(open(f"{sys.argv[1]}/model.json"))["runs"]
if [(run["batch"], run["threads"]) for run in runs] != [(b, t) for b in (1, 4, 16) for t in (1, 2)]:
    print(runs)
if any(run["latency_ms"] <= 0 or run["throughput_per_s"] <= 0 or run["activation_bytes"] <= 0 for run in runs):
    print(runs)
PY
)"
refused 1 "no problem's name has 'nosuch'" infer-bench kernels --check-only --filter nosuch
refused 1 "nosuch/b\.json: cannot write" infer-bench kernels --check-only --json "$work/nosuch/b.json"
refused 1 "no group's name has 'nosuch'" infer-bench shapes --filter nosuch
refused 1 "no family with 'nosuch'" infer-bench choice --filter nosuch
refused 2 "choice writes no report" infer-bench choice --json "$work/choice.json"
refused 2 "shapes takes no" infer-bench shapes --threads 2
refused 2 "shapes takes no --check-only" infer-bench shapes --check-only
refused 2 "choice takes no --check-only" infer-bench choice --check-only
refused 2 "kernels takes no --random" infer-bench kernels --random 20
refused 2 "shapes takes no --random" infer-bench shapes --random 0
refused 2 "or --random" infer-bench model "$model" --random 2
refused 2 "'many'" infer-bench choice --random many
refused 1 "nosuch\.bin: cannot open" infer-bench model "$work/nosuch.bin"
refused 1 "cut\.bin: " infer-bench model "$work/cut.bin"
refused 1 "no input and no symbol 'picture'" infer-bench model "$model" --shape picture=1x1x8x8
refused 1 "'image'.*1x1x8x9" infer-bench model "$model" --shape image=1x1x8x9
refused 2 "not 'everything'" infer-bench everything
refused 2 "model takes one model" infer-bench model
refused 2 "no --filter" infer-bench model "$model" --filter conv
refused 2 "kernels takes no" infer-bench kernels --shape a=1
refused 2 "'sse'" infer-bench kernels --isa sse

# --- many inputs, and load ------------------------------------------------------------------------------------

# Items of a folder, of an archive and of standard input, each with what infer-run makes of it alone.
mkdir -p "$work/items" "$work/alone"
python3 - "$work" "$digit" <<'PY' || exit 1
import os, sys, zipfile

work, digit = sys.argv[1:]
image = open(digit, "rb").read()
with zipfile.ZipFile(os.path.join(work, "items.npz"), "w") as archive, open(os.path.join(work, "stream"), "wb") as stream:
    for i in range(21):
        data = bytearray(image)
        data[-256 + 4 * i : -252 + 4 * i] = b"\0\0\x80\x3f"  # 1.0
        open(os.path.join(work, "items", f"i{i:02}.npy"), "wb").write(data)
        archive.writestr(f"i{i:02}.npy", bytes(data))
        stream.write(data)
PY
for item in "$work"/items/*.npy; do
    name=$(basename "$item" .npy)
    infer-run "$model" "$item" -o "$work/alone/$name" >"$work/out" 2>&1 || verdict "$name alone" "$(cat "$work/out")"
done
like_alone() # DESCRIPTION DIR
{
    verdict "$1: what comes of each item is what comes of it alone" "$(diff -r "$work/alone" "$2" 2>&1 | head -3)"
}
done_with "a folder" '' infer-run "$model" --stream "$work/items" -o "$work/many1"
like_alone "a folder" "$work/many1"
done_with "in batches" '' infer-run "$model" --stream "$work/items" --batch 8 -o "$work/many2"
like_alone "in batches" "$work/many2"
done_with "several runs at once" '' infer-run "$model" "$work"/items/*.npy --async --threads 3 --batch 2 -o "$work/many3"
like_alone "several runs at once" "$work/many3"
done_with "an archive" '' infer-run "$model" --stream "$work/items.npz" --batch 4 -o "$work/many4"
like_alone "an archive" "$work/many4"
infer-run "$model" --stream - --batch 4 -o "$work/many5" <"$work/stream" >"$work/out" 2>&1
verdict "standard input" "$([ $? -eq 0 ] || cat "$work/out")"
verdict "standard input has numbers for names" "$(diff "$work/alone/i07/output_0.npy" "$work/many5/000007/output_0.npy" 2>&1)"
done_with "the largest batches" 'i00  output 0 .*i20  output 0' infer-run "$model" --stream "$work/items" --async --threads 8 --batch 65536
done_with "to the terminal" 'i00  output 0  float32 1x10  largest 0\.[0-9]+ at 3 i01  output 0 .*i20  output 0' \
    infer-run "$model" --stream "$work/items"
done_with "the report of many" '"items":21,"failed":0,"metrics":\{.*"by_status":\{"ok":21,' \
    infer-run "$model" --stream "$work/items" --json - --batch 4
verdict "the report of many is JSON" "$(python3 -m json.tool "$work/out" 2>&1 >/dev/null)"
infer-run "$model" --stream "$work/items" --watch --json - >"$work/out" 2>"$work/err"
verdict "the table of the metrics" "$(grep -qE '^total +21 ' "$work/err" || cat "$work/err")"
cp "$work/shape.npy" "$work/items/i05x.npy"
infer-run "$model" --stream "$work/items" --batch 4 -o "$work/many6" >"$work/out" 2>"$work/err"
verdict "a bad item is told" "$([ $? -eq 1 ] || echo "exit code is not 1"
    [ "$(cat "$work/err")" = "infer-run: i05x: prediction failed: input 'image' is 1x1x4x16; the model takes ?x1x8x8" ] || cat "$work/err")"
like_alone "a bad item is nothing to the others" "$work/many6"
head -c 5000 "$work/stream" | infer-run "$model" --stream - >"$work/out" 2>"$work/err"
verdict "a stream that is cut" "$([ "$(wc -l <"$work/out")" -gt 5 ] || cat "$work/out"
    grep -q '^infer-run: .*standard input: ends within an array' "$work/err" || cat "$work/err")"
mkdir "$work/nothing"
refused 1 "nothing: there is no \.npy and no \.npz file" infer-run "$model" --stream "$work/nothing"
refused 1 "nosuch: No such file" infer-run "$model" --stream "$work/nosuch"
refused 2 "takes no further input" infer-run "$model" --stream "$work/items" "$digit"
refused 2 "takes inputs, or --stream" infer-run "$model" --batch 4
refused 2 "--async takes no --repeat" infer-run "$model" "$digit" --async --repeat 3
refused 2 "from 1 to 65536" infer-run "$model" "$digit" --batch 0
done_with "infer-bench serve" 'p99\.9 ms .* 200 .* 400 ' infer-bench serve "$model" --rate 200,400 --seconds 0.3 --svg "$work/serve.svg"
verdict "the drawing is XML" "$(python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' "$work/serve.svg" 2>&1)"
done_with "a report of a load" '"rate":300,"achieved":' \
    infer-bench serve "$model" --rate 300 --seconds 0.3 --batch 4 --delay 1 --contexts 2 --json -
verdict "the report of a load is JSON" "$(python3 -m json.tool "$work/out" 2>&1 >/dev/null)"
refused 2 "serve takes --rate" infer-bench serve "$model"
refused 2 "above 0, not '0'" infer-bench serve "$model" --rate 5,0
refused 2 "only serve takes --rate" infer-bench model "$model" --rate 5
refused 1 "no input and no symbol" infer-bench serve "$model" --rate 5 --shape picture=1x1

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
