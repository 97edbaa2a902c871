"""Inputs for the models: made from fixed seeds, and like what each model was trained for."""

import numpy as np

CLS, SEP = 101, 102  # the tokens that begin and end a sentence for BERT
VOCABULARY = 30522
FIRST_WORD = 1000  # below it lie BERT's special and unused tokens

# Silero VAD is fed 32 ms at a time, behind the last samples of the chunk before: rate: (chunk, context).
VAD_CHUNKS = {16000: (512, 64), 8000: (256, 32)}
VAD_STATE = (2, 1, 128)


def picture(batch=1, size=224, seed=11):
    """A picture in [0, 1): soft blobs of colour under a little noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    waves = np.zeros((batch, 3, size, size))
    for _ in range(8):
        fx, fy = random.uniform(-6, 6, (2, batch, 3, 1, 1))
        waves += np.sin(2 * np.pi * (fx * x + fy * y + random.uniform(0, 1, (batch, 3, 1, 1))))
    noisy = 0.5 + waves / 16 + random.normal(0, 0.03, waves.shape)
    return np.clip(noisy, 0, 0.999).astype(np.float32)


def page(height, width, line_height=32, seed=12):
    """A scanned page, scaled to [-1, 1] as PP-OCR wants it: lines of dark strokes that stand as letters do."""
    random = np.random.default_rng(seed)
    paper = 0.92 + random.normal(0, 0.02, (1, 3, height, width))
    for top in range(line_height // 4, height - line_height + 1, line_height * 3 // 2):
        left = line_height // 2
        while left < width * random.uniform(0.6, 1):
            left += _letter(paper, random, top, left, line_height)
    return (np.clip(paper, 0, 1) * 2 - 1).astype(np.float32)


def _letter(paper, random, top, left, height):
    """Draws a stem, bars and now and then a bowl; returns how far the next letter stands."""
    width = int(random.integers(height // 3, height * 2 // 3))
    stroke = max(2, height // 10)
    ink = random.uniform(0.05, 0.25)
    paper[..., top : top + height, left : left + stroke] = ink
    for _ in range(random.integers(1, 4)):
        bar = top + int(random.integers(0, height - stroke))
        paper[..., bar : bar + stroke, left : left + width] = ink
    if random.random() < 0.4:
        paper[..., top : top + height, left + width - stroke : left + width] = ink
    return width + height // 6 if random.random() < 0.85 else width + height // 2


def speech(chunks, rate, seed=13):
    """A voice in [-1, 1]: syllables of a gliding pitch with its harmonics, pauses, and a quiet hiss."""
    random = np.random.default_rng(seed)
    time = np.arange(chunks * VAD_CHUNKS[rate][0]) / rate
    pitch = 130 + 30 * np.sin(2 * np.pi * 0.7 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    formants = 500 + 200 * np.sin(2 * np.pi * 1.3 * time), 1500 + 400 * np.sin(2 * np.pi * 0.9 * time)
    voice = np.zeros_like(time)
    for harmonic in range(1, 25):
        loudness = sum(np.exp(-(((harmonic * pitch - formant) / 250) ** 2)) for formant in formants)
        voice += loudness * np.sin(harmonic * phase)
    syllables = np.clip(np.sin(2 * np.pi * 2.1 * time), 0, 1) * (np.sin(2 * np.pi * 0.31 * time) > -0.3)
    return (0.15 * voice * syllables + random.normal(0, 0.003, time.shape)).astype(np.float32)


def vad_frames(chunks, rate=16000):
    """The speech as Silero VAD reads it: [chunks, context + chunk]."""
    chunk, context = VAD_CHUNKS[rate]
    samples = np.concatenate([np.zeros(context, np.float32), speech(chunks, rate)])
    return np.stack([samples[i * chunk : i * chunk + context + chunk] for i in range(chunks)])


def noisy_speech(batch, samples, seed=15):
    """Voices of 16 kHz in [-1, 1] among noise that no frequency is far below: [batch, samples]."""
    random = np.random.default_rng(seed)
    chunks = -(-samples // VAD_CHUNKS[16000][0])
    voices = np.stack([speech(chunks, 16000, seed + i)[:samples] for i in range(batch)])
    return (voices + random.normal(0, 0.1, voices.shape)).astype(np.float32)


def phonemes(count, seed=20):
    """What the voice Kokoro is to say, how it sounds, and how fast."""
    random = np.random.default_rng(seed)
    return {
        "tokens": np.concatenate([[0], random.integers(1, 170, count), [0]])[None],
        "style": random.normal(0, 0.2, (1, 256)).astype(np.float32),
        "speed": np.ones(1, np.float32),
    }


def sentences(lengths, sequence, seed=14):
    """Token ids, mask and types of sentences of these lengths, padded to `sequence`."""
    random = np.random.default_rng(seed)
    ids = np.zeros((len(lengths), sequence), np.int64)
    for row, length in zip(ids, lengths):
        row[:length] = random.integers(FIRST_WORD, VOCABULARY, length)
        row[0], row[length - 1] = CLS, SEP
    return {"input_ids": ids, "attention_mask": (ids != 0).astype(np.int64), "token_type_ids": np.zeros_like(ids)}
