"""What the outputs of a model are good for, as one number: the more the better."""

from functools import cache

import numpy as np
import onnx

# DB's post-processing (Liao et al., "Real-time Scene Text Detection with Differentiable Binarization").
INK, SURE, UNCLIP = 0.3, 0.6, 1.6
LEAST_SIDE = 3


def relative_error(outputs, expected):
    """The root of the squared differences over that of their squares; infinite where the shapes differ."""
    if any(a.shape != b.shape for a, b in zip(outputs, expected)):
        return np.inf
    difference = sum(float(((a.astype(np.float64) - b) ** 2).sum()) for a, b in zip(outputs, expected))
    return (difference / sum(float((b.astype(np.float64) ** 2).sum()) for b in expected)) ** 0.5


def right_classes(outputs, _expected, labels, _model):
    """Per cent."""
    return 100 * float(np.mean([int(scores.argmax()) == label for scores, label in zip(outputs, labels)]))


# --- reading ------------------------------------------------------------------------------------------------------


def right_characters(outputs, _expected, texts, model):
    """Per cent of the characters that need no edit, blanks between words aside."""
    alphabet = characters(model)
    edits = sum(edit_distance(read(scores, alphabet), text.replace(" ", "")) for scores, text in zip(outputs, texts))
    return 100 * (1 - edits / sum(len(text.replace(" ", "")) for text in texts))


@cache
def characters(model):
    metadata = {entry.key: entry.value for entry in onnx.load(model).metadata_props}
    return ["", *metadata["character"].split("\n"), " "]


def read(scores, alphabet):
    """CTC: the likeliest class of each step, repetitions and blanks left out."""
    best = scores[0].argmax(axis=1)
    kept = [number for i, number in enumerate(best) if number and (i == 0 or number != best[i - 1])]
    return "".join(alphabet[number] for number in kept if number < len(alphabet)).replace(" ", "")


def edit_distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


# --- meaning ------------------------------------------------------------------------------------------------------


def same_order(outputs, expected, _pairs, _model):
    """Spearman's correlation of the pairs' cosines with those of float32."""
    return correlation(ranks(cosines(outputs)), ranks(cosines(expected)))


def cosines(embeddings):
    rows = np.concatenate(embeddings).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows[::2] * rows[1::2]).sum(axis=1)


def ranks(numbers):
    return np.argsort(np.argsort(numbers)).astype(np.float64)


def correlation(a, b):
    return float(np.corrcoef(a, b)[0, 1])


# --- boxes --------------------------------------------------------------------------------------------------------


def same_boxes(outputs, expected, _truth, _model):
    """Mean overlap (intersection over union) of the boxes with those of float32; one that has no partner counts 0."""
    shares = [overlap(boxes(a[0, 0]), boxes(b[0, 0])) for a, b in zip(outputs, expected)]
    total = sum(count for _, count in shares)
    return sum(found for found, _ in shares) / total if total else 1.0


def boxes(likelihood):
    """(left, top, right, bottom) of each region of ink, made larger as DB does."""
    found = []
    for left, top, right, bottom in regions(likelihood > INK):
        width, height = right - left, bottom - top
        sure = likelihood[top:bottom, left:right].mean() >= SURE
        if min(width, height) >= LEAST_SIDE and sure:
            grow = width * height * UNCLIP / (2 * (width + height))
            found.append((left - grow, top - grow, right + grow, bottom + grow))
    return found


def regions(mask):
    """The bounds of what hangs together over sides or corners. Runs of each row join those of the row above."""
    parents, bounds, above = [], [], []

    def root(i):
        while parents[i] != i:
            parents[i] = parents[parents[i]]
            i = parents[i]
        return i

    for y, row in enumerate(mask):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]])))
        runs = []
        for left, right in zip(edges[::2].tolist(), edges[1::2].tolist()):
            own = len(parents)
            parents.append(own)
            bounds.append((left, y, right, y + 1))
            runs.append((left, right, own))
            for other_left, other_right, other in above:
                if other_left <= right and left <= other_right:
                    join(parents, bounds, root(other), root(own))
        above = runs
    return [bounds[i] for i in range(len(parents)) if parents[i] == i]


def join(parents, bounds, a, b):
    if a != b:
        parents[b] = a
        x, y = bounds[a], bounds[b]
        bounds[a] = (min(x[0], y[0]), min(x[1], y[1]), max(x[2], y[2]), max(x[3], y[3]))


def overlap(ours, theirs):
    """The sum over pairs, the best first, and how many boxes it is of."""
    pairs = sorted(((intersection_over_union(a, b), i, j) for i, a in enumerate(ours) for j, b in enumerate(theirs)),
                   reverse=True)
    left, right, total = set(), set(), 0.0
    for share, i, j in pairs:
        if share > 0 and i not in left and j not in right:
            left.add(i)
            right.add(j)
            total += share
    return total, max(len(ours), len(theirs))


def intersection_over_union(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return width * height / (area - width * height)
