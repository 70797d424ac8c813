"""HID rows of cold items against a naive search for the longest shared prefix."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from h2rec_tf.models.cold_start import cold_rows


def _naive(rows: np.ndarray, codes: np.ndarray, popularity: np.ndarray) -> np.ndarray:
    result = rows.copy()
    trained = [row for row in range(len(rows)) if popularity[row + 1] > 0]
    if not trained:
        return result
    for cold in set(range(len(rows))) - set(trained):
        for length in range(codes.shape[1], -1, -1):
            near = [row for row in trained if (codes[row, :length] == codes[cold, :length]).all()]
            if near:
                weights = popularity[np.asarray(near) + 1]
                result[cold] = (rows[near] * weights[:, None]).sum(axis=0) / weights.sum()
                break
    return result


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), items=st.integers(1, 15), levels=st.integers(1, 4), codes=st.integers(1, 4))
def test_cold_rows_equal_the_naive_search(seed: int, items: int, levels: int, codes: int) -> None:
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(items, 3))
    tuples = generator.integers(0, codes, (items, levels))
    popularity = np.concatenate([[0], generator.integers(1, 9, items) * (generator.random(items) < 0.6)])
    before = rows.copy()
    found = cold_rows(rows, tuples, popularity)
    np.testing.assert_allclose(found, _naive(rows, tuples, popularity), atol=1e-9)
    np.testing.assert_array_equal(rows, before)
    np.testing.assert_array_equal(found[popularity[1:] > 0], rows[popularity[1:] > 0])


def test_a_cold_item_takes_the_row_of_its_nearest_trained_item() -> None:
    rows = np.asarray([[1.0, 0.0], [0.0, 1.0], [9.0, 9.0], [7.0, 7.0]])
    codes = np.asarray([[0, 1], [0, 2], [0, 1], [5, 5]])
    found = cold_rows(rows, codes, np.asarray([0, 4, 12, 0, 0]))
    np.testing.assert_allclose(found[2], [1.0, 0.0])
    np.testing.assert_allclose(found[3], [0.25, 0.75], err_msg="no shared code: the weighted mean of all")


def test_a_smaller_share_turns_the_row_towards_where_it_stood() -> None:
    rows = np.asarray([[3.0, 0.0], [0.0, 7.0]])
    codes, popularity = np.asarray([[0], [0]]), np.asarray([0, 5, 0])
    np.testing.assert_allclose(cold_rows(rows, codes, popularity, share=0.5)[1], np.asarray([3.0, 3.0]) / 2**0.5)
    np.testing.assert_array_equal(cold_rows(rows, codes, popularity, share=0.0), rows)
    lengths = [np.linalg.norm(cold_rows(rows, codes, popularity, share=share)[1]) for share in (0.2, 0.8, 1.0)]
    np.testing.assert_allclose(lengths, 3.0)
