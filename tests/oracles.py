"""Counterparts of layers, losses and orders, written from the formulas and not from the program's code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import special


def softmax(x: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def weights_of(layer: Any) -> dict[str, np.ndarray]:
    """A layer's variables by their path below the layer, without the output index: `query/kernel`."""
    values = {}
    for variable in layer.variables:
        path = variable.name.split(":")[0].split("/")
        cut = path.index(layer.name) + 1 if layer.name in path else 0
        values["/".join(path[cut:])] = variable.numpy().astype(np.float64)
    return values


def part(values: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """The variables of one sub-layer."""
    return {key[len(name) + 1 :]: value for key, value in values.items() if key.startswith(f"{name}/")}


def copy_part(target: Any, source: Any, name: str) -> None:
    """Gives a built layer the weights of the sub-layer `name` of another layer."""
    values = part(weights_of(source), name)
    for variable in target.variables:
        path = variable.name.split(":")[0].split("/")
        variable.assign(values["/".join(path[path.index(target.name) + 1 :])])


def dense(values: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """`x W + b`."""
    return x @ values["kernel"] + values["bias"]


def layer_norm(values: dict[str, np.ndarray], x: np.ndarray, epsilon: float = 1e-6) -> np.ndarray:
    """Normalisation over the last axis with scale and shift."""
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon)
    return scaled * values["gamma"] + values["beta"]


def gelu(x: np.ndarray) -> np.ndarray:
    """Exact GELU."""
    return x * special.ndtr(x)


def attention_block(
    values: dict[str, np.ndarray], x: np.ndarray, *, heads: int, mask: np.ndarray, context: np.ndarray | None = None
) -> np.ndarray:
    """Pre-norm attention and feed-forward net; row by row, head by head, key by key that may be read."""
    query_input = layer_norm(part(values, "query_norm"), x)
    source = query_input if context is None else layer_norm(part(values, "context_norm"), context)
    queries = dense(part(values, "query"), query_input)
    keys, memory = np.split(dense(part(values, "key_value"), source), 2, axis=-1)
    width = x.shape[-1] // heads
    mixed = np.zeros_like(queries)
    for row in range(x.shape[0]):
        for position in range(x.shape[1]):
            allowed = np.flatnonzero(mask[row, position])
            if not len(allowed):
                continue
            for head in range(heads):
                columns = slice(head * width, (head + 1) * width)
                logits = keys[row, allowed, columns] @ queries[row, position, columns] / np.sqrt(width)
                mixed[row, position, columns] = softmax(logits) @ memory[row, allowed, columns]
    hidden = x + dense(part(values, "output"), mixed)
    inner = gelu(dense(part(values, "expand"), layer_norm(part(values, "feed_norm"), hidden)))
    return hidden + dense(part(values, "contract"), inner)


def attention_mask(real: np.ndarray, *, causal: bool) -> np.ndarray:
    """bool `[B, T, T]` by its definition."""
    length = real.shape[1]
    allowed = np.zeros((*real.shape, length), bool)
    for row in range(real.shape[0]):
        for query in range(length):
            for key in range(length):
                allowed[row, query, key] = real[row, key] and (key <= query or not causal)
    return allowed


def transformer(
    values: dict[str, np.ndarray], x: np.ndarray, real: np.ndarray, *, causal: bool, heads: int
) -> np.ndarray:
    """Attention blocks, a final normalisation, zeros at padding."""
    mask = attention_mask(real, causal=causal)
    blocks = sorted({key.split("/")[0] for key in values if key.startswith("block_")})
    for name in blocks:
        x = attention_block(part(values, name), x, heads=heads, mask=mask)
    return layer_norm(part(values, "norm"), x) * real[..., None]


def gru4rec(values: dict[str, np.ndarray], x: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Stacked GRUs (reset after the matrix product) that skip padding, then a linear map."""
    names = sorted({key.split("/")[0] for key in values if key.startswith("gru_")})
    for name in names:
        weights = {key.split("/")[-1]: value for key, value in part(values, name).items()}
        units = x.shape[-1]
        states = np.zeros((x.shape[0], units))
        outputs = np.zeros_like(x)
        for step in range(x.shape[1]):
            given = x[:, step] @ weights["kernel"] + weights["bias"][0]
            recalled = states @ weights["recurrent_kernel"] + weights["bias"][1]
            update = special.expit(given[:, :units] + recalled[:, :units])
            reset = special.expit(given[:, units : 2 * units] + recalled[:, units : 2 * units])
            candidate = np.tanh(given[:, 2 * units :] + reset * recalled[:, 2 * units :])
            fresh = update * states + (1 - update) * candidate
            states = np.where(real[:, step, None], fresh, states)
            outputs[:, step] = states
        x = outputs
    return dense(part(values, "output"), x) * real[..., None]


def positioned(positions: np.ndarray, x: np.ndarray, real: np.ndarray) -> np.ndarray:
    """`sqrt(d) x` plus the position counted from the first real item, zeros at padding."""
    result = np.zeros_like(x)
    for row in range(x.shape[0]):
        for order, column in enumerate(np.flatnonzero(real[row])):
            result[row, column] = x[row, column] * np.sqrt(x.shape[-1]) + positions[min(order, len(positions) - 1)]
    return result


def info_nce(logits: np.ndarray, weights: np.ndarray) -> float:
    """Weighted InfoNCE in its textbook form, `-log(sum w e^z / sum e^z)`; fine for small logits."""
    rows = [
        -np.log((weights[row] * np.exp(logits[row])).sum() / np.exp(logits[row]).sum())
        for row in range(len(logits))
        if weights[row].any()
    ]
    return float(np.mean(rows)) if rows else 0.0


def normalised(x: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-6)


_LOW_64 = 2**64 - 1


def _mixed(value: int) -> int:
    """SplitMix64's finalizer in Python's integers."""
    value = (value + 0x9E3779B97F4A7C15) & _LOW_64
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _LOW_64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _LOW_64
    return value ^ (value >> 31)


def tie_key(user: str, time: int, item: str) -> int:
    """What orders events of one user at one time, before the item's index."""
    user_hash, item_hash = (int(pd.util.hash_array(np.asarray([name], object))[0]) for name in (user, item))
    return _mixed(_mixed(user_hash ^ _mixed(time)) ^ item_hash) >> 32
