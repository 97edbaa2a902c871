"""Draws what bench_peers.py --json measured: latency.svg, each engine's time beside the fastest peer's, and roofline.svg,
where infer's kernels stand between this machine's bandwidth and its multiply-adds. SVG is written as text.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from xml.sax.saxutils import escape

COLOURS = {
    "infer": "#0b6e4f",
    "infer-optimize": "#6bbf9a",
    "onnxruntime": "#2f6db3",
    "openvino": "#8a4fbe",
    "ncnn": "#d98324",
}
KERNEL_COLOURS = ("#0b6e4f", "#2f6db3", "#d98324", "#8a4fbe", "#b3312f", "#5c7a89", "#a08a2c", "#c2569b")
INK, FAINT = "#222", "#ccc"
FONT = "font-family='sans-serif'"


class Drawing:
    def __init__(self, width, height):
        self.parts = [
            f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' viewBox='0 0 {width} {height}'>",
            f"<rect width='{width}' height='{height}' fill='white'/>",
        ]

    def text(self, x, y, text, size=12, anchor="start", colour=INK, bold=False):
        weight = " font-weight='bold'" * bold
        self.parts.append(
            f"<text x='{x:.1f}' y='{y:.1f}' {FONT} font-size='{size}' text-anchor='{anchor}' fill='{colour}'{weight}>"
            f"{escape(text)}</text>"
        )

    def line(self, x1, y1, x2, y2, colour=INK, width=1.0, dash=""):
        dashes = f" stroke-dasharray='{dash}'" * bool(dash)
        self.parts.append(
            f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{colour}' stroke-width='{width}'"
            f"{dashes}/>"
        )

    def bar(self, x, y, width, height, colour, title):
        self.parts.append(
            f"<rect x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{height:.1f}' fill='{colour}'>"
            f"<title>{escape(title)}</title></rect>"
        )

    def dot(self, x, y, radius, colour, title):
        self.parts.append(
            f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{radius:.1f}' fill='{colour}' fill-opacity='0.6' stroke='{colour}'>"
            f"<title>{escape(title)}</title></circle>"
        )

    def write(self, path):
        Path(path).write_text("\n".join([*self.parts, "</svg>"]) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", metavar="FILE.json", help="of bench_peers.py --json")
    parser.add_argument("folder", metavar="FOLDER", help="where the drawings go")
    arguments = parser.parse_args()
    found = json.loads(Path(arguments.json).read_text())
    folder = Path(arguments.folder)
    folder.mkdir(parents=True, exist_ok=True)
    draw_latency(found, folder / "latency.svg")
    draw_roofline(found, folder / "roofline.svg")
    print(folder / "latency.svg", folder / "roofline.svg", sep="\n")


# --- latency -------------------------------------------------------------------------------------------------------

LABELS, COLUMN, BAR, GAP, TOP = 120, 420, 11, 12, 74
MOST = 3.0  # times the best peer: longer bars are cut


def draw_latency(found, path):
    rows = [row for row in found["rows"] if row["best"]]
    engines = [name for name in COLOURS if any(name in row["engines"] for row in rows)]
    models = list(dict.fromkeys(row["model"] for row in rows))
    threads = sorted({row["threads"] for row in rows})
    group = BAR * len(engines) + GAP
    drawing = Drawing(LABELS + COLUMN * len(threads) + 20, TOP + group * len(models) + 30)
    drawing.text(LABELS, 20, "Latency, relative to the fastest peer; shorter is faster", 15, bold=True)
    legend(drawing, LABELS, 40, {name: COLOURS[name] for name in engines})
    for column, count in enumerate(threads):
        x = LABELS + column * COLUMN
        drawing.text(x, TOP - 8, f"{count} thread{'s' * (count > 1)}", 12, bold=True)
        for row in (row for row in rows if row["threads"] == count):
            draw_group(drawing, row, engines, x, TOP + models.index(row["model"]) * group)
        best = x + unit()
        drawing.line(best, TOP - 4, best, TOP + group * len(models) - GAP, INK, 1, "3 3")
    for index, model in enumerate(models):
        drawing.text(LABELS - 8, TOP + index * group + group / 2, model, 12, "end")
    drawing.text(LABELS, TOP + group * len(models) + 12, subtitle(found), 10, colour="#666")
    drawing.write(path)


def unit():
    """Pixels for the time of the fastest peer."""
    return (COLUMN - 80) / MOST


def draw_group(drawing, row, engines, x, y):
    best = row["engines"][row["best"]]["ms"]
    for index, engine in enumerate(engines):
        if engine not in row["engines"]:
            continue
        ms = row["engines"][engine]["ms"]
        times = ms / best
        length, top = unit() * min(times, MOST), y + index * BAR
        drawing.bar(x, top, length, BAR - 2, COLOURS[engine], f"{row['model']}, {engine}: {ms:.3f} ms, {times:.2f}")
        wrong = " (outputs wrong)" if engine in row["wrong"] else ""
        more = f"  {times:.1f} x" if times > MOST else ""
        drawing.text(x + length + 4, top + BAR - 3, f"{number(ms)} ms{more}{wrong}", 9)


def number(ms):
    return f"{ms:.3f}" if ms < 1 else f"{ms:.2f}" if ms < 10 else f"{ms:.1f}" if ms < 100 else f"{ms:.0f}"


def legend(drawing, x, y, colours):
    for name, colour in colours.items():
        drawing.bar(x, y - 9, 10, 10, colour, name)
        drawing.text(x + 14, y, name, 11)
        x += 30 + 7 * len(name)


def subtitle(found):
    machine = found["machine"]
    peers = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return f"{machine['cpu']}, {machine['isa']}; {peers}; medians; {machine['time']}"


# --- roofline ------------------------------------------------------------------------------------------------------

LEFT, WIDTH, UPPER, HEIGHT = 70, 760, 70, 460
INTENSITY = (0.03125, 1024)


def draw_roofline(found, path):
    machine = found["machine"]
    peak, bandwidth = machine["peak_gflop_per_s"], machine["peak_gb_per_s"]
    rates = (peak / 512, peak * 1.5)
    dots = list(roofline_dots(found["rows"]))
    kernels = list(dict.fromkeys(dot["kernel"] for dot in sorted(dots, key=lambda dot: -dot["ms"])))
    colours = {name: KERNEL_COLOURS[min(i, len(KERNEL_COLOURS) - 1)] for i, name in enumerate(kernels)}
    drawing = Drawing(LEFT + WIDTH + 250, UPPER + HEIGHT + 60)
    drawing.text(LEFT, 24, "infer's kernels on one thread: GFLOP/s by operations a byte moved", 15, bold=True)
    drawing.text(LEFT, 44, "A dot is a kernel in a model; its area is its share of the run.", 11)
    draw_axes(drawing, rates)
    roof = [(x, min(peak, bandwidth * x)) for x in (INTENSITY[0], peak / bandwidth, INTENSITY[1])]
    for (x1, y1), (x2, y2) in zip(roof, roof[1:]):
        drawing.line(across(x1), up(y1, rates), across(x2), up(y2, rates), INK, 2)
    drawing.text(across(INTENSITY[1]), up(peak, rates) - 6, f"{peak:.0f} GFLOP/s, {machine['isa']}", 11, "end")
    drawing.text(across(0.5), up(bandwidth * 0.5, rates) - 10, f"{bandwidth:.1f} GB/s", 11, "end")
    for dot in dots:
        x = min(max(dot["intensity"], INTENSITY[0]), INTENSITY[1])
        y = min(max(dot["rate"], rates[0]), rates[1])
        title = f"{dot['model']}, {dot['kernel']}: {dot['rate']:.1f} GFLOP/s, {dot['ms']:.3f} ms, {dot['share']:.0%}"
        drawing.dot(across(x), up(y, rates), 3 + 12 * math.sqrt(dot["share"]), colours[dot["kernel"]], title)
    for index, (name, colour) in enumerate(colours.items()):
        drawing.dot(LEFT + WIDTH + 20, UPPER + 10 + index * 18, 5, colour, name)
        drawing.text(LEFT + WIDTH + 32, UPPER + 14 + index * 18, name, 11)
    drawing.text(LEFT, UPPER + HEIGHT + 50, subtitle(found), 10, colour="#666")
    drawing.write(path)


def roofline_dots(rows):
    for row in (row for row in rows if row["threads"] == 1):
        total = sum(entry["ms"] for entry in row.get("kernels", []))
        for entry in row.get("kernels", []):
            if entry["flops"] > 0 and entry["bytes"] > 0 and entry["ms"] > 0:
                yield {
                    "model": row["model"],
                    "kernel": entry["kernel"],
                    "ms": entry["ms"],
                    "share": entry["ms"] / total,
                    "intensity": entry["flops"] / entry["bytes"],
                    "rate": entry["flops"] / entry["ms"] * 1e-6,
                }


def draw_axes(drawing, rates):
    x = INTENSITY[0]
    while x <= INTENSITY[1]:
        drawing.line(across(x), UPPER, across(x), UPPER + HEIGHT, FAINT)
        drawing.text(across(x), UPPER + HEIGHT + 16, f"{x:g}", 10, "middle")
        x *= 4
    y = 2.0 ** math.ceil(math.log2(rates[0]))
    while y <= rates[1]:
        drawing.line(LEFT, up(y, rates), LEFT + WIDTH, up(y, rates), FAINT)
        drawing.text(LEFT - 6, up(y, rates) + 4, f"{y:g}", 10, "end")
        y *= 2
    drawing.text(LEFT + WIDTH / 2, UPPER + HEIGHT + 34, "operations a byte of operands", 11, "middle")


def across(intensity):
    return LEFT + WIDTH * scaled(intensity, INTENSITY)


def up(rate, rates):
    return UPPER + HEIGHT * (1 - scaled(rate, rates))


def scaled(value, ends):
    low, high = map(math.log2, ends)
    return (math.log2(value) - low) / (high - low)


if __name__ == "__main__":
    sys.exit(main())
