"""Random weights that keep the scale of the activations through a deep network."""

import numpy as np


def he_normal(random, shape, fan_in):
    """Weights by He et al., "Delving Deep into Rectifiers": of variance 2 / fan-in."""
    return (random.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)


def batch_norm_weights(random, channels):
    """What BatchNormalization reads, in its order, near the identity and different for every channel."""
    return {
        "scale": random.uniform(0.5, 1.5, channels).astype(np.float32),
        "bias": random.normal(0, 0.1, channels).astype(np.float32),
        "mean": random.normal(0, 0.1, channels).astype(np.float32),
        "variance": random.uniform(0.5, 1.5, channels).astype(np.float32),
    }
