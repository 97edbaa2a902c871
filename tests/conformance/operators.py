"""Compares the attributes of every operator here with ONNX's schemas, in every opset that ONNX knows, and those of ONNX
Runtime's own domain with ONNX Runtime's; and docs/operators.md with what the build says, which is where they are read.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from onnx import AttributeProto, defs, helper

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from toolrun import ROOT

DOCUMENT = ROOT / "docs" / "operators.md"
NEVER = 2**15
OWN_DOMAIN = "infer"
# ONNX Runtime runs it, but lists no schema of it.
UNLISTED = {("", "SimplifiedLayerNormalization"), ("com.microsoft", "SimplifiedLayerNormalization")}
MISPRINTS = {("GRU", "direction"): ("foward", "forward")}
KINDS = {"SPARSE_TENSOR": "TENSOR", "TYPE_PROTO": "TYPE"}


def read_table(text):
    """{(domain, operator): {(attribute, since, until): (type, what holds where it is absent)}}"""
    operators = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) != 5 or cells[0] in ("operator", "---"):
            continue
        domain, _, name = cells[0].rpartition(".")
        rows = operators.setdefault((domain, name), {})
        if cells[1]:
            rows[cells[1], *read_opsets(cells[3])] = cells[2], cells[4]
    return operators


def read_opsets(text):
    words = text.split()
    if words[0] == "all":
        return 1, NEVER
    return (int(words[1]), NEVER) if words[0] == "from" else (int(words[0]), int(words[2]) + 1)


def read_schemas():
    """{(domain, operator): schemas in order of opsets}, of ONNX and of ONNX Runtime's own domain."""
    schemas = {}
    for schema in sorted(defs.get_all_schemas_with_history(), key=lambda schema: schema.since_version):
        schemas.setdefault((schema.domain, schema.name), []).append(schema)
    from onnxruntime.capi import onnxruntime_pybind11_state as runtime
    for schema in runtime.get_all_operator_schema():
        if schema.domain == "com.microsoft":
            schemas.setdefault((schema.domain, schema.name), []).append(schema)
    return schemas


def default_of(attribute, operator):
    """The default as the table writes it, "required", or "optional"."""
    if attribute.required:
        return "required"
    default = attribute._default_value if hasattr(attribute, "_default_value") else attribute.default_value
    if isinstance(default, bytes):
        default = AttributeProto.FromString(default)
    if not default.type:
        return "optional"
    content = helper.get_attribute_value(default)
    if isinstance(content, float):
        return f"{np.float32(content):.9g}"
    entries = [entry.decode() if isinstance(entry, bytes) else str(entry)
               for entry in (content if isinstance(content, list) else [content])]
    text = ", ".join(entries)
    misprint, meant = MISPRINTS.get((operator, attribute.name), ("", ""))
    return meant if text == misprint else text


def attributes_of(schema):
    kinds = {name: str(attribute.type).rpartition(".")[2] for name, attribute in schema.attributes.items()}
    return {name: (KINDS.get(kinds[name], kinds[name]), default_of(attribute, schema.name))
            for name, attribute in schema.attributes.items()}


def differences(operator, rows, schemas):
    """What is not as the schemas say, a sentence each, and how many versions were looked at."""
    found = []
    for i, schema in enumerate(schemas):
        opset = 1 if i == 0 else schema.since_version
        ours = {name: content for (name, since, until), content in rows.items() if since <= opset < until}
        theirs = attributes_of(schema)
        for name in sorted(ours.keys() | theirs.keys()):
            if ours.get(name) != theirs.get(name):
                found.append(f"{'.'.join(filter(None, operator))}, opset {schema.since_version}, attribute {name}: "
                             f"{ours.get(name)}; the schema says {theirs.get(name)}")
    starts = {1} | {schema.since_version for schema in schemas[1:]} | {NEVER}
    for name, since, until in rows:
        if since not in starts or until not in starts:
            found.append(f"{'.'.join(filter(None, operator))}, attribute {name}: changes in opset "
                         f"{until if since in starts else since}, which no schema begins with")
    return found, len(schemas)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lister", default=ROOT / "build" / "list-operators", help="the program that prints the table")
    arguments = parser.parse_args()
    text = subprocess.run([arguments.lister], check=True, capture_output=True, text=True).stdout
    faults, good = [], 0
    if text != DOCUMENT.read_text():
        faults.append(f"{DOCUMENT.relative_to(ROOT)} is not what the build has: make operators")
    schemas = read_schemas()
    for operator, rows in read_table(text).items():
        if operator[0] == OWN_DOMAIN or operator in UNLISTED:
            continue
        if operator not in schemas:
            faults.append(f"{'.'.join(filter(None, operator))}: there is no schema of that name")
            continue
        found, versions = differences(operator, rows, schemas[operator])
        faults += found
        good += versions if not found else 0
    for fault in faults:
        print(fault)
    print(f"{good} passed, {len(faults)} failed")
    return len(faults) != 0


if __name__ == "__main__":
    sys.exit(main())
