"""Pages of printed text for a reader of pages, and what another reader of the same models finds on them."""

from pathlib import Path

from quant_scores import edit_distance

FONTS = Path("/usr/share/fonts/truetype/dejavu")
# Font, size of letters, what the page is turned by (degrees), and its lines.
PAGES = (
    (
        "DejaVuSans.ttf",
        34,
        0,
        (
            "The predictor answers requests",
            "in batches, and keeps their order.",
            "Pages of text are read by machines;",
            "a reader paid with cash or card.",
            "Streams remember what they heard,",
            "while caches forget the oldest first.",
            "Quick brown foxes jump over lazy dogs",
        ),
    ),
    (
        "DejaVuSerif.ttf",
        30,
        0,
        (
            "Chapter 7: Of Harbours",
            "Ships arrive at noon (mostly),",
            "and leave before the tide turns.",
            "A pilot costs 48 dollars a day;",
            "anchors are free of charge!",
            "Who would have thought so?",
        ),
    ),
    (
        "DejaVuSans-Bold.ttf",
        36,
        2,
        (
            "Timetable for the northern line",
            "Monday 06:45 from platform 3",
            "Tuesday 07:10 from platform 12",
            "Wednesday no trains are running",
            "Tickets: 15% off after 9 pm",
        ),
    ),
    (
        "DejaVuSans.ttf",
        32,
        0,
        (
            "Name            Price",
            "Bread           2.40",
            "Apples         11.75",
        ),
    ),
)


def render(font, size, turned, lines):
    """A page, as an image of PIL's."""
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("RGB", (900, 120 + len(lines) * size * 5 // 2), "white")
    letters = ImageFont.truetype(str(FONTS / font), size)
    for i, line in enumerate(lines):
        ImageDraw.Draw(page).text((50, 60 + i * size * 5 // 2), line, fill=(20, 20, 60), font=letters)
    return page.rotate(turned, resample=Image.Resampling.BICUBIC, fillcolor="white")


def read_by_rapidocr(page):
    """The lines of text that RapidOCR finds."""
    import numpy
    from rapidocr_onnxruntime import RapidOCR

    found, _ = RapidOCR()(numpy.asarray(page)[:, :, ::-1].copy())
    return [text for _, text, _ in found]


def accuracy(read, printed):
    """What part of the printed characters needs no edit, of the fewest that there can be."""
    text = "\n".join(printed)
    return 1 - edit_distance("\n".join(read), text) / len(text)
