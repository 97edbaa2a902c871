"""What random cases of operators are made of, and the list of those who draw them."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

DRAWERS = {}


@dataclass
class Case:
    """A node and its inputs (None: absent). `constants`: those that are weights of the model; `outputs`: those that are
    asked for; `tolerance` of floats, as a part of the largest; `steps` that integers may be off; `formula` in place of
    ONNX Runtime."""

    op: str
    inputs: list
    attributes: dict = field(default_factory=dict)
    outputs: tuple = (0,)
    constants: tuple = ()
    domain: str = "com.microsoft"
    tolerance: float = 1e-4
    steps: int = 1
    formula: Callable | None = None
    types: dict = field(default_factory=dict)  # of outputs whose type ONNX Runtime does not infer

    def __str__(self):
        inputs = ["-" if a is None else f"{a.dtype}{list(a.shape)}" for a in self.inputs]
        return f"{self.op} {' '.join(inputs)} {self.attributes} outputs={self.outputs} constants={self.constants}"


def drawers():
    return DRAWERS


def case_of(name):
    def note(drawer):
        DRAWERS[name] = drawer
        return drawer

    return note


# --- what cases are drawn from ----------------------------------------------------------------------------------------


def maybe(random, value, chance=0.5):
    return value if random.random() < chance else None


def size(random, most):
    return int(random.integers(1, most + 1))


def sizes(random, rank, most):
    return [size(random, most) for _ in range(rank)]


def floats(random, shape, dtype=np.float32, scale=1.0):
    return (random.normal(0, 1, shape) * scale).astype(dtype)


def pick(random, *choices):
    return choices[random.integers(len(choices))]


def options(random, **choices):
    """Each attribute is left out or one of its values."""
    return {name: pick(random, *values) for name, values in choices.items() if random.random() < 0.6}


def some_of(random, *outputs):
    """Output 0 and any of others."""
    return (0, *(i for i in outputs if random.random() < 0.5))


def window_options(random, rank):
    attributes = {"kernel_shape": sizes(random, rank, 3)}
    if random.random() < 0.3:
        attributes["auto_pad"] = pick(random, "SAME_UPPER", "SAME_LOWER", "VALID")
    elif random.random() < 0.7:
        attributes["pads"] = [int(random.integers(0, k)) for k in 2 * attributes["kernel_shape"]]
    return attributes | options(random, strides=([1] * rank, [2] * rank), ceil_mode=(0, 1))
