"""Says how outputs differ from the expected ones, by the measure of ONNX's own backend test runner."""

import re

import numpy as np

BFLOAT16_RTOL = 2**-6  # two units in the last place, as ONNX's runner allows

# Drawn at random by a generator that ONNX leaves open: the numbers cannot be met, but what they may be is known.
BERNOULLI = re.compile(r"test_bernoulli")
TRAINING_DROPOUT = re.compile(r"test_training_dropout(_default)?(_mask)?$")


def is_extension(dtype):
    """True for the types that ml_dtypes adds to numpy: bfloat16, float8, float4, int4, int2 and their kin."""
    return dtype.isbuiltin == 2


def differences(case, inputs, expected, outputs):
    """One sentence on the first output that is not as it must be, or None."""
    if len(outputs) != len(expected):
        return f"{len(outputs)} outputs, expected {len(expected)}"
    for i, (output, reference) in enumerate(zip(outputs, expected)):
        fault = _form_fault(output, reference)
        if fault is None and not is_random(case):
            fault = _value_fault(output, reference, case.rtol, case.atol)
        if fault is not None:
            return f"output {i}: {fault}"
    if BERNOULLI.match(case.name) and not np.isin(outputs[0], (0, 1)).all():
        return "output 0: values other than 0 and 1"
    if TRAINING_DROPOUT.match(case.name):
        return _dropout_fault(inputs, outputs, case.rtol)
    return None


def is_random(case):
    return BERNOULLI.match(case.name) or TRAINING_DROPOUT.match(case.name)


def _form_fault(output, reference):
    if output.shape != reference.shape:
        return f"shape {output.shape}, expected {reference.shape}"
    if reference.dtype == object:
        return None if output.dtype.kind == "U" else f"type {output.dtype}, expected strings"
    if output.dtype != reference.dtype:
        return f"type {output.dtype}, expected {reference.dtype}"
    return None


def _value_fault(output, reference, rtol, atol):
    if reference.dtype == object:
        wrong = output.astype(object) != reference
    else:
        if reference.dtype.name == "bfloat16":
            rtol = max(rtol, BFLOAT16_RTOL)
        if is_extension(reference.dtype):
            # numpy cannot promote the types that ml_dtypes adds; each of them fits float32.
            output, reference = output.astype(np.float32), reference.astype(np.float32)
        wrong = ~np.isclose(output, reference, rtol=rtol, atol=atol, equal_nan=True)
    if not wrong.any():
        return None
    where = tuple(int(index) for index in np.argwhere(wrong)[0])
    return (
        f"{np.count_nonzero(wrong)} of {wrong.size} values differ, "
        f"the first at {list(where)}: {output[where]}, expected {reference[where]}"
    )


def _dropout_fault(inputs, outputs, rtol):
    """Each element is dropped or scaled by 1/(1 - ratio), and the mask, where there is one, says which."""
    data, ratio = inputs[0], float(inputs[1])
    kept = outputs[1] if len(outputs) > 1 else outputs[0] != 0
    if not np.allclose(outputs[0], np.where(kept, data / (1 - ratio), 0), rtol=rtol):
        return "output 0: elements that are neither dropped nor scaled by 1/(1 - ratio)"
    if not 0 < np.count_nonzero(kept) < kept.size:
        return f"output 0: {np.count_nonzero(kept)} of {kept.size} elements kept at a ratio of {ratio}"
    return None
