"""Start values for embedding tables, from item text vectors and codebooks (NumPy, before training)."""

from __future__ import annotations

import numpy as np


def principal_axes(vectors: np.ndarray, dimensions: int, *, seed: int = 0) -> np.ndarray:
    """Orthonormal projection to the first principal components.

    Args:
        vectors: `[n, D]` float.
        dimensions: d, columns wanted. Where d > D or d > rank, random orthonormal directions fill up.
        seed: of the fill.

    Returns:
        float32 `[D, d]`; columns orthonormal while d <= D, else `d - D` columns are zero.
    """
    width = vectors.shape[1]
    # The second moment is [D, D] however many items there are.
    centred = vectors.astype(np.float32) - vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    _, axes = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    axes = axes[:, ::-1][:, :dimensions].astype(np.float32)
    # An eigenvector's sign is arbitrary; fix it so that a start does not depend on the LAPACK build.
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.sign(axes[largest, np.arange(axes.shape[1])] + 1e-30)
    if dimensions > width:
        axes = np.concatenate([axes, np.zeros((width, dimensions - width), np.float32)], axis=1)
    return axes


def text_rows(vectors: np.ndarray, dimensions: int) -> np.ndarray:
    """HID start: item vectors on their first d principal components (design: embeddings).

    Args:
        vectors: `[N, D]` float, row r is item index r + 1.
        dimensions: d.

    Returns:
        float32 `[N, d]` with a mean row norm of 1.
    """
    centred = vectors.astype(np.float32) - vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    return _unit_scale(centred @ principal_axes(vectors, dimensions))


def codebook_tables(codebooks: np.ndarray, dimensions: int, *, vectors: np.ndarray | None = None) -> np.ndarray:
    """SID start: codebooks projected to d dimensions by principal axes.

    Args:
        codebooks: `[L, K, d_c]` float.
        dimensions: d.
        vectors: `[N, d_c]` item vectors whose axes are taken, so that the SID start lies in the same space as the HID
            start (`text_rows`). None, or another width (an RQ-VAE's latent space), takes the codewords' own axes.

    Returns:
        float32 `[L, K, d]`. Levels keep their relative size, so coarse codes weigh more than fine ones; the first
        level has a mean row norm of 1.
    """
    levels, codes, width = codebooks.shape
    flat = codebooks.reshape(levels * codes, width).astype(np.float32)
    source = vectors if vectors is not None and vectors.shape[1] == width else flat
    tables = (flat @ principal_axes(source, dimensions)).reshape(levels, codes, dimensions)
    tables = tables - tables.mean(axis=1, keepdims=True)
    scale = np.linalg.norm(tables[0], axis=-1).mean()
    return tables / max(float(scale), 1e-12)


def _unit_scale(rows: np.ndarray) -> np.ndarray:
    return (rows / max(float(np.linalg.norm(rows, axis=-1).mean()), 1e-12)).astype(np.float32)
