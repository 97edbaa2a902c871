"""Takes the kernels for CUDA to random problems under the emulation, as check-cuda-kernels does, counts what each of them
asks of memory, and holds that against tests/cuda/counters.tsv: of shared memory the cycles that are lost to conflicts of
banks, in percent of those that remain without, and of device memory the sectors of 32 bytes that its warps' accesses
touch, in percent of those that their bytes would fill.

A kernel that had no conflicts may have none, whatever the problems. The other numbers depend on them (strides are
random), so they are compared where the options are the ones that they were made with.

    check_counters.py BINARY [--write] [--table] [options of check-cuda-kernels]
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

from check_build import demangle

LIMITS = pathlib.Path(__file__).resolve().parent / "counters.tsv"
OPTIONS = ["--problems", "6"]  # that the numbers of the table are of
COLUMNS = ("conflicts", "sectors")
SLACK = 2  # percent


def names_of(binary):
    """{address: name} of functions."""
    done = subprocess.run(["nm", "--defined-only", binary], capture_output=True, text=True, check=True)
    symbols = [line.split() for line in done.stdout.splitlines()]
    functions = [(int(address, 16), name) for address, kind, name in symbols if kind in "tTwW"]
    short = demangle([name for _, name in functions])
    return {address: short[name] for address, name in functions}


def percent(part, whole):
    return -(-100 * part // whole) if whole else 0


def count(binary, options):
    """The exit status of the run, and {kernel: numbers} of what it has launched."""
    rows = {}
    with tempfile.NamedTemporaryFile() as file:
        status = subprocess.run([binary, *options, "--counters", file.name]).returncode
        names = names_of(binary)
        for line in pathlib.Path(file.name).read_text().splitlines():
            address, *numbers = line.split("\t")
            launches, blocks, products, cycles, least, sectors, least_sectors = map(int, numbers)
            row = rows.setdefault(names[int(address, 16)], dict.fromkeys(
                ("launches", "blocks", "products", "cycles", "least", "sectors", "least sectors"), 0))
            for key, number in zip(row, (launches, blocks, products, cycles, least, sectors, least_sectors)):
                row[key] += number
    return status, rows


def limits():
    if not LIMITS.exists():
        return {}
    lines = [line.split("\t") for line in LIMITS.read_text().splitlines()[1:]]
    return {name: dict(zip(COLUMNS, map(int, numbers))) for name, *numbers in lines}


def share(row):
    """What is held against limits."""
    return {"conflicts": percent(row["cycles"] - row["least"], row["least"]),
            "sectors": percent(row["sectors"], row["least sectors"])}


def faults(now, limit, comparable):
    if not limit:
        return ["it has no limits: see --write"] if comparable else []
    wrong = []
    if now["conflicts"] > limit["conflicts"] + (SLACK if limit["conflicts"] else 0) and (
            comparable or limit["conflicts"] == 0):
        wrong.append(f"conflicts of banks take {now['conflicts']} % more cycles, allowed {limit['conflicts']} %")
    if comparable and now["sectors"] > limit["sectors"] + SLACK:
        wrong.append(f"sectors of device memory are {now['sectors']} % of those needed, allowed {limit['sectors']} %")
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--write", action="store_true", help="make limits of what is")
    parser.add_argument("--table", action="store_true", help="print every kernel")
    options, others = parser.parse_known_args()
    others = others or OPTIONS
    status, rows = count(options.binary, others)
    if options.write:
        lines = [(name, *(share(row)[c] for c in COLUMNS)) for name, row in sorted(rows.items())]
        LIMITS.write_text("".join("\t".join(map(str, line)) + "\n" for line in [("kernel", *COLUMNS), *lines]))
    held, failed = limits(), 0
    for name, row in sorted(rows.items()):
        wrong = faults(share(row), held.get(name), others == OPTIONS)
        failed += bool(wrong)
        if wrong or options.table:
            now = share(row)
            print(f"{'FAILED ' if wrong else ''}{name}: {row['launches']} launches, {row['blocks']} blocks, "
                  f"{row['products']} products of tensor cores; shared memory {row['cycles']} cycles, "
                  f"{now['conflicts']} % lost to conflicts; device memory {row['sectors']} sectors, {now['sectors']} % of "
                  f"those needed", *(f"\n    {w}" for w in wrong), sep="")
    print(f"counters of {len(rows)} kernels\n{len(rows) - failed} passed, {failed} failed")
    return status or failed != 0


if __name__ == "__main__":
    sys.exit(main())
