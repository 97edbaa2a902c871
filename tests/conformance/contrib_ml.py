"""Random cases of ai.onnx.ml."""

import numpy as np

from contrib_draw import Case, case_of, floats, options, pick, size

POSTS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
FEATURES = (np.float32, np.float64, np.int64, np.int32)


def ml(op, inputs, attributes, **more):
    return Case(op, inputs, attributes, domain="ai.onnx.ml", **more)


def numbers(random, shape, dtype):
    return floats(random, shape, scale=3.0).astype(dtype)


def weights(random, count):
    return [float(w) for w in floats(random, count)]


def per_feature(random, columns):
    return weights(random, pick(random, 1, columns))


@case_of("Scaler")
def scaler(random):
    rows, columns = size(random, 5), size(random, 6)
    x = numbers(random, (rows, columns), pick(random, *FEATURES))
    count = pick(random, 1, columns)
    return ml("Scaler", [x], {"offset": weights(random, count), "scale": weights(random, count)})


@case_of("Imputer")
def imputer(random):
    rows, columns = size(random, 5), size(random, 6)
    if random.random() < 0.5:
        x = random.integers(-2, 3, (rows, columns))
        values = [int(v) for v in random.integers(5, 9, pick(random, 1, columns))]
        return ml("Imputer", [x], {"imputed_value_int64s": values, "replaced_value_int64": int(random.integers(-2, 3))})
    old = pick(random, float("nan"), 1.0)
    x = np.where(random.random((rows, columns)) < 0.4, np.float32(old), floats(random, (rows, columns)))
    return ml("Imputer", [x], {"imputed_value_floats": per_feature(random, columns), "replaced_value_float": old})


@case_of("Normalizer")
def normalizer(random):
    x = numbers(random, (size(random, 5), size(random, 6)), pick(random, *FEATURES))
    x += x == 0  # ONNX Runtime divides a row of zeros by itself
    return ml("Normalizer", [np.abs(x)], {"norm": pick(random, "MAX", "L1", "L2")})


@case_of("OneHotEncoder")
def one_hot_encoder(random):
    x = random.integers(-3, 4, (size(random, 4), size(random, 4)))
    categories = [int(c) for c in random.permutation(np.arange(-3, 4))[: size(random, 7)]]
    return ml("OneHotEncoder", [x.astype(pick(random, np.int64, np.float32))], {"cats_int64s": categories})


@case_of("FeatureVectorizer")
def feature_vectorizer(random):
    rows, widths, dtype = size(random, 4), [size(random, 4) for _ in range(size(random, 3))], pick(random, *FEATURES)
    inputs = [numbers(random, (rows, width), dtype) for width in widths]
    wanted = [max(1, width + int(random.integers(-1, 2))) for width in widths]
    return ml("FeatureVectorizer", inputs, {"inputdimensions": wanted})


@case_of("Binarizer")
def binarizer(random):
    return ml("Binarizer", [floats(random, (size(random, 4), size(random, 4)))], options(random, threshold=(0.5, -1.0)))


@case_of("ArrayFeatureExtractor")
def array_feature_extractor(random):
    columns = size(random, 6)
    x = numbers(random, (size(random, 4), columns), pick(random, *FEATURES))
    return ml("ArrayFeatureExtractor", [x, random.integers(0, columns, (1, size(random, 5)))], {})


@case_of("LabelEncoder")
def label_encoder(random):
    x = random.integers(-3, 4, (size(random, 4), size(random, 4)))
    count = size(random, 6)
    keys, whole = random.permutation(np.arange(-3, 4))[:count], bool(random.random() < 0.5)
    values = [int(v) for v in random.integers(0, 99, count)]
    to = pick(random, "int64", "float")
    attributes = {
        "keys_int64s" if whole else "keys_floats": [int(k) if whole else float(k) for k in keys],
        f"values_{to}s": [v if to == "int64" else v + 0.5 for v in values],
        f"default_{to}": -7 if to == "int64" else -7.5,
    }
    return ml("LabelEncoder", [x if whole else x.astype(np.float32)], attributes)


@case_of("LinearRegressor")
def linear_regressor(random):
    rows, columns, targets = size(random, 4), size(random, 5), size(random, 3)
    attributes = {"coefficients": weights(random, columns * targets), "targets": targets}
    attributes |= options(random, intercepts=(weights(random, targets),))
    attributes |= options(random, post_transform=POSTS[:3]) if targets > 1 else {}
    return ml("LinearRegressor", [floats(random, (rows, columns))], attributes)


@case_of("LinearClassifier")
def linear_classifier(random):
    rows, columns, labels = size(random, 4), size(random, 5), pick(random, 1, 2, 3, 4)
    scores = pick(random, 1, 2) if labels == 2 else labels
    attributes = {
        "coefficients": weights(random, columns * scores),
        "intercepts": weights(random, scores),
        "classlabels_ints": [int(label) for label in random.permutation(9)[:labels]],
        "post_transform": pick(random, *POSTS[:4]),
    }
    x = numbers(random, (rows, columns), pick(random, *FEATURES))
    return ml("LinearClassifier", [x], attributes, outputs=(0, 1))


@case_of("SVMRegressor")
def svm_regressor(random):
    rows, columns, supports = size(random, 4), size(random, 5), pick(random, 0, 1, 3, 6)
    attributes = {
        "kernel_type": pick(random, "LINEAR", "POLY", "RBF", "SIGMOID") if supports else "LINEAR",
        "kernel_params": [float(random.uniform(0.1, 0.5)), float(random.uniform(0, 1)), float(size(random, 3))],
        "n_supports": supports,
        "coefficients": weights(random, supports or columns),
        "rho": weights(random, 1),
    } | ({"support_vectors": weights(random, supports * columns)} if supports else {})
    return ml("SVMRegressor", [floats(random, (rows, columns))], attributes | options(random, one_class=(0, 1)))


def grow(random, features, trees, depth, modes):
    """Nodes of full random trees: lists by attribute, and the leaves as (tree, node)."""
    names = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
    names += ("missing_value_tracks_true",)
    rows, leaves, inner = [], [], 2**depth - 1
    for tree in range(trees):
        for node in range(2 * inner + 1):
            if node >= inner:
                rows.append((tree, node, 0, "LEAF", 0.0, 0, 0, 0))
                leaves.append((tree, node))
                continue
            value = float(random.integers(-4, 5)) / 2
            feature, missing = int(random.integers(features)), int(random.integers(2))
            rows.append((tree, node, feature, pick(random, *modes), value, 2 * node + 1, 2 * node + 2, missing))
    return {f"nodes_{name}": list(column) for name, column in zip(names, zip(*rows))}, leaves


def votes(random, prefix, leaves, ids):
    """Every leaf votes for every id: of those that it passes over, ONNX Runtime takes no account at all."""
    every = [(*leaf, number) for leaf in leaves for number in ids]
    names = (f"{prefix}_treeids", f"{prefix}_nodeids", f"{prefix}_ids")
    return dict(zip(names, map(list, zip(*every)))) | {f"{prefix}_weights": weights(random, len(every))}


def trees_and_features(random):
    """Only comparisons say where a number that is none goes."""
    columns, missing = size(random, 4), random.random() < 0.5
    modes = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT") + (() if missing else ("BRANCH_EQ", "BRANCH_NEQ"))
    x = (random.integers(-4, 5, (size(random, 5), columns)) / 2).astype(np.float32)
    x[random.random(x.shape) < (0.2 if missing else 0)] = np.nan
    return x, *grow(random, columns, size(random, 3), size(random, 2), modes)


@case_of("TreeEnsembleRegressor")
def tree_regressor(random):
    (x, nodes, leaves), targets = trees_and_features(random), size(random, 3)
    attributes = nodes | votes(random, "target", leaves, range(targets)) | {"n_targets": targets}
    attributes |= options(random, aggregate_function=("SUM", "AVERAGE", "MIN", "MAX"))
    attributes |= options(random, base_values=(weights(random, targets),))
    attributes |= options(random, post_transform=POSTS[:3]) if targets > 1 else {}
    return ml("TreeEnsembleRegressor", [x], attributes)


@case_of("TreeEnsembleClassifier")
def tree_classifier(random):
    (x, nodes, leaves), labels = trees_and_features(random), pick(random, 2, 3, 4)
    if labels == 2:
        return two_classes(random, x, nodes, leaves)
    attributes = nodes | votes(random, "class", leaves, range(labels))
    attributes["classlabels_int64s"] = [int(label) for label in random.permutation(9)[:labels]]
    attributes["post_transform"] = pick(random, *POSTS[:3])
    return ml("TreeEnsembleClassifier", [x], attributes, outputs=(0, 1))


def two_classes(random, x, nodes, leaves):
    """All leaves vote for one class. ONNX Runtime forgets the votes for the second where there are two base values."""
    voted, bases = pick(random, (0, 0), (0, 1), (0, 2), (1, 0), (1, 1))
    attributes = nodes | votes(random, "class", leaves, [voted])
    attributes["classlabels_int64s"] = [int(label) for label in random.permutation(9)[:2]]
    attributes["post_transform"] = pick(random, *POSTS[:4])
    if random.random() < 0.5:
        attributes["class_weights"] = [abs(weight) / 8 for weight in attributes["class_weights"]]
    if bases:
        attributes["base_values"] = weights(random, bases)
    return ml("TreeEnsembleClassifier", [x], attributes, outputs=(0, 1))
