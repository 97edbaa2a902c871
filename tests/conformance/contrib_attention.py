"""Random cases of com.microsoft's attention."""

import numpy as np

from contrib_draw import Case, case_of, floats, maybe, options, pick, size
from contrib_integers import of_8_bits, scale

# --- attention --------------------------------------------------------------------------------------------------------


def key_mask(random, batch, queries, keys):
    """None, or which keys there are: where they end (and start), for each sequence, or for each query too."""
    kind = pick(random, None, None, "end", "both", "padding", "each")
    ends = random.integers(1, keys + 1, batch)
    if kind == "end":
        return ends.astype(np.int32)
    if kind == "both":
        return np.concatenate([ends, np.minimum(ends - 1, random.integers(0, 3, batch))]).astype(np.int32)
    if kind:
        shape = (batch, keys) if kind == "padding" else (batch, queries, keys)
        mask = (random.random(shape) < 0.7).astype(np.int32)
        mask[..., 0] = 1  # scores that are all far below 0 have few digits left
        return mask
    return None


def score_addend(random, batch, heads, queries, keys):
    return maybe(random, floats(random, (pick(random, 1, batch), pick(random, 1, heads), queries, keys)), 0.4)


def attention_options(random):
    return options(random, unidirectional=(0, 1), scale=(0.3, 0.7), mask_filter_value=(-10000.0, -3.0e38, -5.0))


@case_of("Attention")
def attention(random):
    batch, queries, heads, head, width = (
        size(random, 3),
        size(random, 6),
        size(random, 3),
        size(random, 6),
        size(random, 8),
    )
    v_head = pick(random, head, head, size(random, 6))
    attributes = {"num_heads": heads} | attention_options(random)
    if v_head != head:
        attributes["qkv_hidden_sizes"] = [heads * head, heads * head, heads * v_head]
    columns = heads * (2 * head + v_head)
    past = maybe(random, floats(random, (2, batch, heads, size(random, 4), head))) if v_head == head else None
    keys = queries + (past.shape[3] if past is not None else 0)
    inputs = [
        floats(random, (batch, queries, width)),
        floats(random, (width, columns), scale=0.5),
        maybe(random, floats(random, columns), 0.8),
        key_mask(random, batch, queries, keys),
        past,
        score_addend(random, batch, heads, queries, keys),
    ]
    return Case("Attention", inputs, attributes, (0, 1) if past is not None else (0,), pick(random, (), (1, 2)))


@case_of("QAttention")
def qattention(random):
    batch, queries, heads, head, width = (
        size(random, 3),
        size(random, 6),
        size(random, 3),
        size(random, 6),
        size(random, 8),
    )
    columns = 3 * heads * head
    dtype = pick(random, np.int8, np.uint8)
    past = maybe(random, floats(random, (2, batch, heads, size(random, 4), head)))
    keys = queries + (past.shape[3] if past is not None else 0)
    shape = pick(random, (), (columns,))
    zeros = maybe(random, np.asarray(random.integers(0, 20, shape), dtype)) if dtype == np.uint8 or not shape else None
    x_zero = np.asarray(random.integers(0, 200), np.uint8) if zeros is not None or random.random() < 0.5 else None
    inputs = [
        of_8_bits(random, (batch, queries, width), np.uint8),
        of_8_bits(random, (width, columns), dtype),
        floats(random, columns),
        scale(random, 0.005, 0.02),
        scale(random, 0.005, 0.02, shape),
        key_mask(random, batch, queries, keys),
        x_zero,
        zeros,
        past,
    ]
    attributes = {"num_heads": heads} | attention_options(random)
    return Case(
        "QAttention", inputs, attributes, (0, 1) if past is not None else (0,), pick(random, (), (1, 3, 4, 6, 7))
    )


@case_of("MultiHeadAttention")
def multi_head_attention(random):
    batch, queries, heads, head = size(random, 3), size(random, 6), size(random, 3), size(random, 6)
    v_head, fresh = pick(random, head, head, size(random, 6)), pick(random, queries, size(random, 6))
    attributes = {"num_heads": heads} | attention_options(random)
    if fresh > queries:
        attributes.pop("unidirectional", 0)  # ONNX Runtime lets the last query see all keys then
    past = size(random, 4) if random.random() < 0.3 else 0
    split = not past and random.random() < 0.2
    key_shape = (batch, heads, fresh, head) if split else (batch, fresh, heads * head)
    value_shape = (batch, heads, fresh, v_head) if split else (batch, fresh, heads * v_head)
    pasts = [floats(random, (batch, heads, past, h)) if past else None for h in (head, v_head)]
    mask = key_mask(random, batch, queries, past + fresh)
    inputs = [
        floats(random, (batch, queries, heads * head)),
        floats(random, key_shape),
        floats(random, value_shape),
        maybe(random, floats(random, heads * (2 * head + v_head))) if not split else None,
        mask,
        score_addend(random, batch, heads, queries, past + fresh),
        *pasts,
    ]
    outputs = (0, 1, 2) if past or random.random() < 0.3 else (0,)
    if outputs == (0, 1, 2) and random.random() < 0.3:
        outputs = (0, 1, 2, 3)
    return Case("MultiHeadAttention", inputs, attributes, outputs, types={3: np.dtype(np.float32)})


@case_of("RotaryEmbedding")
def rotary_embedding(random):
    batch, length, heads, head = size(random, 3), size(random, 6), size(random, 3), 2 * size(random, 8)
    attributes = options(random, interleaved=(0, 1))
    dim = head
    if random.random() < 0.3:
        dim = 2 * size(random, head // 2)
        attributes |= {"num_heads": heads, "rotary_embedding_dim": dim}
    elif random.random() < 0.5:
        attributes["num_heads"] = heads
    shape = pick(random, (batch, length, heads * head), (batch, heads, length, head))
    tables = [floats(random, (20, dim // 2)) for _ in range(2)]
    positions = pick(random, random.integers(0, 20, (batch, length)), random.integers(0, 10, 1))
    return Case(
        "RotaryEmbedding", [floats(random, shape), positions, *tables], attributes, constants=pick(random, (), (2, 3))
    )


@case_of("GroupQueryAttention")
def group_query_attention(random):
    batch, heads, share, head = size(random, 3), size(random, 2), size(random, 3), 16 * size(random, 2)
    first = random.random() < 0.5
    queries = size(random, 6) if first or batch == 1 else 1
    past = size(random, 6) if not first else 0
    grows = random.random() < 0.5  # the present, or it has room already
    lengths = np.full(batch, queries) if first else random.integers(1, past + 1, batch) + queries
    if first and random.random() < 0.3:
        past = queries + size(random, 4)
    elif grows and not first:
        lengths[random.integers(batch)] = past + queries
    elif not first:
        past += queries
    total = int(lengths.max())
    q_heads = heads * share
    attributes = {"num_heads": q_heads, "kv_num_heads": heads} | options(
        random, scale=(0.3,), softcap=(1.5,), smooth_softmax=(0, 1)
    )
    attributes |= options(random, local_window_size=(-1, 1, 3))
    if random.random() < 0.2:
        attributes |= {"causal": 0, "local_window_size": -1}
    tables, positions = [None, None], None
    if random.random() < 0.5:
        attributes |= {"do_rotary": 1} | options(random, rotary_interleaved=(0, 1))
        tables = [floats(random, (20, pick(random, head // 2, head // 2))) for _ in range(2)]
        positions = maybe(random, random.integers(0, 20, (batch, queries)), 0.3)
    packed = random.random() < 0.3
    query = floats(random, (batch, queries, (q_heads + 2 * heads if packed else q_heads) * head))
    fresh = [None, None] if packed else [floats(random, (batch, queries, heads * head)) for _ in range(2)]
    pasts = [floats(random, (batch, heads, past, head)) if past else None for _ in range(2)]
    addend = maybe(random, floats(random, (pick(random, 1, batch), pick(random, 1, q_heads), queries, total)), 0.3)
    sinks = maybe(random, floats(random, q_heads), 0.2)
    inputs = [
        query,
        *fresh,
        *pasts,
        (lengths - 1).astype(np.int32),
        np.asarray(total, np.int32),
        *tables,
        positions,
        addend,
        sinks,
    ]
    return Case("GroupQueryAttention", inputs, attributes, (0, 1, 2), pick(random, (), (6,), (7, 8)))
