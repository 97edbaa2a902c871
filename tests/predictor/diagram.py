"""Draws docs/pipeline.svg from docs/pipeline.json, or checks both: that the drawing is that of the source, and that the
source has the parts which the code has, and no others."""

import argparse
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE, DRAWING = ROOT / "docs" / "pipeline.json", ROOT / "docs" / "pipeline.svg"

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN, TOP = 104, 66, 34, 34, 16, 44
COLOURS = {"stage": "#cfe3ff", "queue": "#ffffff", "store": "#e4f3d8", "choice": "#fff1cc", "end": "#eeeeee"}


def corner(part):
    column, row = part["at"]
    return MARGIN + column * (WIDTH + GAP_X), TOP + row * (HEIGHT + GAP_Y)


def draw_part(part):
    x, y = corner(part)
    dashes = ' stroke-dasharray="5 3"' if part["kind"] == "queue" else ""
    round_ = 18 if part["kind"] in ("end", "choice") else 4
    yield f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="{round_}" fill="{COLOURS[part["kind"]]}"{dashes}/>'
    lines = part["lines"]
    for i, line in enumerate(lines):
        place = y + HEIGHT / 2 + 5 + (i - (len(lines) - 1) / 2) * 17
        yield f'<text x="{x + WIDTH / 2:g}" y="{place:g}">{line}</text>'


def path_of(a, b):
    """From the edge of one part to that of another: straight, or with one corner."""
    (ax, ay), (bx, by) = corner(a), corner(b)
    across, down = bx + WIDTH / 2, by + HEIGHT / 2
    if ay == by:
        return [(ax + WIDTH, ay + HEIGHT / 2), (bx, down)] if ax < bx else [(ax, ay + HEIGHT / 2), (bx + WIDTH, down)]
    if ax == bx:
        return [(across, ay + HEIGHT), (across, by)] if ay < by else [(across, ay), (across, by + HEIGHT)]
    side = ax + WIDTH if ax < bx else ax
    return [(side, ay + HEIGHT / 2), (across, ay + HEIGHT / 2), (across, by + HEIGHT if ay > by else by)]


def draw(source):
    parts = {part["id"]: part for part in source["parts"]}
    columns, rows = (max(part["at"][axis] for part in parts.values()) + 1 for axis in (0, 1))
    width, height = 2 * MARGIN + columns * (WIDTH + GAP_X) - GAP_X, TOP + MARGIN + rows * (HEIGHT + GAP_Y) - GAP_Y + 26
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    yield f"<title>{source['title']}</title>"
    yield '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    yield '<path d="M0 0 8 4 0 8z" fill="#333"/></marker></defs>'
    yield f'<rect width="{width}" height="{height}" fill="#fff"/>'
    yield f'<text x="{MARGIN}" y="26" font-family="sans-serif" font-size="17" fill="#111">{source["title"]}</text>'
    yield '<g fill="none" stroke="#333" stroke-width="1.3" marker-end="url(#tip)">'
    for a, b in source["arrows"]:
        points = " ".join(f"{x:g},{y:g}" for x, y in path_of(parts[a], parts[b]))
        yield f'<polyline points="{points}" marker-end="url(#tip)"/>'
    yield '</g><g stroke="#333" stroke-width="1.3">'
    boxes = [line for part in parts.values() for line in draw_part(part)]
    yield from (line for line in boxes if line.startswith("<rect"))
    yield '</g><g font-family="sans-serif" font-size="13" fill="#111" text-anchor="middle">'
    yield from (line for line in boxes if line.startswith("<text"))
    yield "</g>"
    said = "blue: workers' stages; dashed: requests that wait, until their deadline; green: what is kept; yellow: when_full"
    yield f'<text x="{MARGIN}" y="{height - 12}" font-family="sans-serif" font-size="13" fill="#333">{said}</text>'
    yield "</svg>"


def names(path, pattern):
    """The names within what `pattern` finds in a file."""
    text = re.sub(r"/\*.*?\*/", "", (ROOT / path).read_text(), flags=re.DOTALL)
    return set(re.findall(r"\w+", re.search(pattern, text, re.DOTALL).group(1)))


def complaints(source):
    if DRAWING.read_text() != "\n".join(draw(source)) + "\n":
        yield "docs/pipeline.svg is not what docs/pipeline.json makes: make diagram"
    drawn = {part["id"]: set(part["code"]) for part in source["parts"]}
    all_drawn = set().union(*drawn.values())
    header, inner = "runtime/infer_predictor.h", "predictor/predictor.h"
    stages = names(inner, r"enum stage \{(.*?)\}") - {"STAGES"}
    queues = names(inner, r"enum \{ (QUEUE_.*?)\}") - {"STAGES", "QUEUES"}
    waits = {name for name in all_drawn if name.startswith(("STAGE_", "QUEUE_"))}
    if waits != stages | queues:
        yield f"the code has {sorted(stages | queues - waits)} to wait in, the diagram {sorted(waits)}"
    full = {name for name in names(header, r"enum infer_when_full \{(.*?)\}") if name.startswith("INFER_")}
    if full != {name for name in all_drawn if name.startswith("INFER_FULL_")}:
        yield f"when_full is one of {sorted(full)}"
    hooks = set(re.findall(r"infer_status \(\*(\w+)\)", (ROOT / header).read_text()))
    if not hooks <= all_drawn:
        yield f"the hooks are {sorted(hooks)}"
    code = "".join(path.read_text() for path in [ROOT / header, *(ROOT / "predictor").glob("*.[ch]")])
    for name in sorted(all_drawn):
        if not re.search(rf"\b{name}\b", code):
            yield f"the code knows no {name}"
    order = [word for word in re.search(r"\* +(cache -> .*)", (ROOT / header).read_text()).group(1).split() if word.isalpha()]
    said = [word for part in source["parts"] if part["at"][1] == 1 for line in part["lines"] for word in line.split()]
    places = [said.index(word) if word in said else -1 for word in order if word not in ("in", "a", "batch", "with", "others")]
    if -1 in places or places != sorted(places):
        yield f"the header has the order {order}, the diagram {said}"
    for arrow in source["arrows"]:
        if not set(arrow) <= set(drawn):
            yield f"an arrow from {arrow[0]} to {arrow[1]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draw", action="store_true", help="write the drawing")
    source = json.loads(SOURCE.read_text())
    if parser.parse_args().draw:
        DRAWING.write_text("\n".join(draw(source)) + "\n")
        return 0
    found = list(complaints(source))
    for complaint in found:
        print(complaint)
    print(f"{int(not found)} passed, {len(found)} failed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
