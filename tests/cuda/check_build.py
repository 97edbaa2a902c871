"""Compiles the kernels for CUDA with nvcc, which needs no GPU, and holds what came of it against tests/cuda/budgets.tsv:
registers, spills and stack of every kernel, and of the loop that multiplies (if there is one) the share of
multiplications among its instructions, of 16-byte loads among its loads from device memory, and accesses to local memory.

Files with main loops are made for all GPUs, the others for three that differ most (--architectures: all for those).
Loops are looked for where budgets have some, and everywhere with --write.

    check_build.py [--architectures 75,80,90] [--files conv,matmul] [--build DIR] [--write] [--table]
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import site
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUDGETS = ROOT / "tests/cuda/budgets.tsv"
USUAL = (75, 80, 90)
EVERY = (75, 80, 86, 89, 90, 100, 120)
WITH_LOOPS = ("conv", "conv_tensor", "matmul", "matmul_tensor", "attention")
# Whose PTX: the sources ask for nothing of a GPU but whether it is before sm_80, so nvcc's slow half is shared.
FRONTS = {86: 80, 89: 80, 100: 90, 120: 90}
MULTIPLIES = re.compile(r"\b(HMMA|IMMA|FFMA|DFMA|IDP|HFMA2)\b")
LOCAL = re.compile(r"\b(LDL|STL)\b")
LOADS = re.compile(r"\b(LDG|LDGSTS)\b")
LEAST_SHARE = 25  # of a loop that is about multiplying
LEAST_SHARE_OF_PRODUCT = 9  # the same, where the kernel is known to be: its loop has all ways to fetch operands
PRODUCT = re.compile(r"product_kernel|tensor_kernel|attend")
COLUMNS = ("registers", "stack", "spills", "loop", "share", "wide", "local")


def find_nvcc():
    found = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
    if not found:
        print("nvcc is not here: the kernels for CUDA are compiled where it is")
        print("0 passed, 0 failed")
        sys.exit(0)
    return found


def compile_file(nvcc, source, architectures, build):
    """The object, and what ptxas says of it. Code of the host is made quickly: nvcc's -O3 is of that alone."""
    target = build / (source.stem + ".o")
    command = [nvcc, "-std=c++17", "-fmad=false", "-Werror", "all-warnings", "-Xcompiler", "-Wall", "-I", str(ROOT),
               "-Xptxas", "-v", "-c", str(source), "-o", str(target)]
    for front in sorted({FRONTS.get(number, number) for number in architectures}):
        codes = ",".join(f"sm_{number}" for number in architectures if FRONTS.get(number, number) == front)
        command += ["-gencode", f"arch=compute_{front},code=[{codes}]"]
    said = target.with_suffix(".ptxas")
    if is_newer(said, command):
        return target, 0, said.read_text()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        said.write_text(" ".join(command) + "\n" + done.stdout + done.stderr)
    return target, done.returncode, done.stdout + done.stderr


def is_newer(said, command):
    """It is what the same command has said since anything of kernels/ last changed."""
    if not said.exists() or said.read_text().split("\n", 1)[0] != " ".join(command):
        return False
    return said.stat().st_mtime > max(file.stat().st_mtime for file in (ROOT / "kernels").rglob("*") if file.is_file())


def demangle(names):
    if not names:
        return {}
    done = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True)
    return {name: short_name(plain) for name, plain in zip(names, done.stdout.splitlines())}


def short_name(plain):
    """Without the result, the parameters, and the types of numbers among a template's arguments."""
    plain = re.sub(r"\((anonymous namespace|bool|int|tensor_kind)\)(::)?", "", plain)
    name = re.sub(r"\(.*", "", plain)
    return name.split(" ", 1)[-1] if "<" in name else name


def read_ptxas(text):
    """{(mangled name, architecture): {registers, stack, spills}} of kernels."""
    kernels, key = {}, None
    for line in text.splitlines():
        entry = re.search(r"Compiling entry function '(\S+)' for 'sm_(\d+)", line)
        if entry:
            key = (entry.group(1), int(entry.group(2)))
            kernels[key] = {"registers": 0, "stack": 0, "spills": 0}
        stack = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line)
        if stack and key:
            kernels[key]["stack"] = max(kernels[key]["stack"], int(stack.group(1)))
            kernels[key]["spills"] += int(stack.group(2)) + int(stack.group(3))
        used = re.search(r"Used (\d+) registers", line)
        if used and key:
            kernels[key]["registers"] = int(used.group(1))
            key = None
    return kernels


def functions_of(sass):
    """(mangled name, architecture, [(address, instruction)])."""
    name, number, code = None, None, []
    for line in sass.splitlines():
        arch = re.search(r"^\s*arch = sm_(\d+)", line) or re.search(r"\.target\s+sm_(\d+)", line)
        if arch:
            number = int(arch.group(1))
        begins = re.search(r"Function : (\S+)", line)
        if begins:
            if name:
                yield name, owner, code
            name, owner, code = begins.group(1), number, []
        instruction = re.search(r"/\*([0-9a-f]{4,})\*/\s+(.*?);", line)
        if instruction and name:
            code.append((int(instruction.group(1), 16), instruction.group(2)))
    if name:
        yield name, owner, code


def main_loop(code, least_share):
    """Of the loops that multiply and have no such loop inside, the one with the largest share of multiplications."""
    loops = []
    for address, text in code:
        target = re.search(r"\bBRA\b.*?0x([0-9a-f]+)", text)
        if not target or int(target.group(1), 16) >= address:
            continue
        first = int(target.group(1), 16)
        inside = [t for a, t in code if first <= a <= address]
        multiplies = sum(bool(MULTIPLIES.search(t)) for t in inside)
        if multiplies < 16 or any(first <= loop["first"] and loop["last"] <= address for loop in loops):
            continue
        loads = [t for t in inside if LOADS.search(t)]
        loops.append({"first": first, "last": address, "loop": len(inside), "share": round(100 * multiplies / len(inside)),
                      "wide": round(100 * sum(".128" in t for t in loads) / len(loads)) if loads else 100,
                      "local": sum(bool(LOCAL.search(t)) for t in inside)})
    best = max(loops, key=lambda loop: loop["share"], default=None)
    return best if best and best["share"] >= least_share else None


def disassembler():
    """The folder of cuobjdump and nvdisasm: of the toolkit, or of the Python packages; None."""
    folders = [pathlib.Path(p) / "nvidia" for p in site.getsitepackages()]
    found = [f for folder in folders for f in folder.glob("*/bin") if (f / "cuobjdump").exists()]
    toolkit = shutil.which("cuobjdump")
    return pathlib.Path(toolkit).parent if toolkit else found[0] if found else None


def read_sass(target):
    folder = disassembler()
    if not folder:
        return {}
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    done = subprocess.run([folder / "cuobjdump", "-sass", str(target)], capture_output=True, text=True, check=True,
                          env=environment)
    loops = {}
    for name, number, code in functions_of(done.stdout):
        loop = main_loop(code, LEAST_SHARE_OF_PRODUCT if PRODUCT.search(name) else LEAST_SHARE)
        if loop:
            loops[name, number] = loop
    return loops


def measure(nvcc, source, architectures, build, looks_for_loops):
    if not architectures:
        architectures = EVERY if source.stem in WITH_LOOPS else USUAL
    target, status, text = compile_file(nvcc, source, architectures, build)
    if status:
        return source, text, {}
    kernels, loops = read_ptxas(text), read_sass(target) if looks_for_loops else {}
    names = demangle(sorted({name for name, _ in kernels}))
    rows = {}
    for (name, number), row in kernels.items():
        row.update(loops.get((name, number), {"loop": 0, "share": 0, "wide": 0, "local": 0}))
        rows[f"{source.stem}: {names[name]}", number] = row
    return source, "", rows


def read_budgets():
    budgets = {}
    if BUDGETS.exists():
        for line in BUDGETS.read_text().splitlines()[1:]:
            name, number, *values = line.split("\t")
            budgets[name, int(number)] = dict(zip(COLUMNS, map(int, values)))
    return budgets


def write_budgets(rows):
    measured = {(name.split(":")[0], number) for name, number in rows}
    kept = {(name, number): row for (name, number), row in read_budgets().items()
            if (name.split(":")[0], number) not in measured}
    kept.update(rows)
    with open(BUDGETS, "w") as file:
        print("kernel", "sm", *COLUMNS, sep="\t", file=file)
        for (name, number), row in sorted(kept.items()):
            print(name, number, *(row[c] for c in COLUMNS), sep="\t", file=file)


def faults(key, row, budget):
    if not budget:
        return ["it has no budget: see --write"]
    worse = [f"{c} {row[c]}, allowed {budget[c]}" for c in ("registers", "stack", "spills") if row[c] > budget[c]]
    for column, what in ("share", "multiplies"), ("wide", "of its loads are of 16 bytes"):
        if row[column] + 2 < budget[column]:
            worse.append(f"{row[column]} % of the main loop {what}, it was {budget[column]} %")
    if row["local"]:
        worse.append("local memory in the main loop")
    return worse


def occupancy(registers):
    """Threads that the registers of a multiprocessor are enough for, of 2,048."""
    warps = 65536 // (32 * max(8, (registers + 7) // 8 * 8))
    return min(64, warps) * 32


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--architectures", default="")
    parser.add_argument("--files", default="", help="names, or beginnings of them, with commas between")
    parser.add_argument("--build", default=str(ROOT / "build-cuda/nvcc"))
    parser.add_argument("--write", action="store_true", help="make budgets of what is")
    parser.add_argument("--table", action="store_true", help="print every kernel")
    options = parser.parse_args()
    if not disassembler():
        print("cuobjdump is not here: loops are not looked at")
    nvcc, build = find_nvcc(), pathlib.Path(options.build)
    architectures = [int(a) for a in options.architectures.split(",") if a]
    build.mkdir(parents=True, exist_ok=True)
    sources = sorted(s for s in (ROOT / "kernels/cuda").glob("*.cu") if s.name.startswith(tuple(options.files.split(","))))
    sources.sort(key=lambda s: s.stem not in WITH_LOOPS)  # what takes longest begins first
    have_loops = {name.split(":")[0] for (name, _), budget in read_budgets().items() if budget["loop"]}
    rows, passed, failed = {}, 0, 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for source, wrong, measured in pool.map(
            lambda s: measure(nvcc, s, architectures, build, options.write or s.stem in have_loops), sources
        ):
            rows.update(measured)
            passed, failed = passed + (not wrong), failed + bool(wrong)
            if wrong:
                print(f"FAILED {source.name} does not compile:\n{wrong}")
    if options.write:
        write_budgets(rows)
    budgets = read_budgets()
    for key, row in sorted(rows.items()):
        wrong = faults(key, row, budgets.get(key))
        passed, failed = passed + (not wrong), failed + bool(wrong)
        if wrong or options.table:
            loop = f"  main loop {row['loop']} instructions, {row['share']} % multiply, {row['wide']} % of loads are wide" if row["loop"] else ""
            print(f"{'FAILED ' if wrong else ''}{key[0]} sm_{key[1]}: {row['registers']} registers "
                  f"({occupancy(row['registers'])} threads), stack {row['stack']}, spills {row['spills']}{loop}",
                  *(f"\n    {w}" for w in wrong), sep="")
    made = sorted({number for _, number in rows})
    print(f"{len(rows)} kernels of {len(sources)} files for sm_{', sm_'.join(map(str, made))}")
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
