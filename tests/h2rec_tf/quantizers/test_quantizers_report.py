"""Codebook report and disambiguation against naive counts."""

import collections
import json
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from h2rec_tf.quantizers.codebook_report import CodebookReport
from h2rec_tf.quantizers.disambiguation import disambiguate, tuple_groups
from h2rec_tf.quantizers.rq_kmeans import RqKmeans


def fitted(count=120, levels=3, codes=4, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(count, 6)).astype(np.float32)
    quantizer = RqKmeans(levels=levels, codes=codes, iterations=4).fit(vectors)
    return quantizer, vectors, quantizer.encode(vectors), [f"item-{row}" for row in range(count)]


def test_numbers_equal_a_naive_count():
    quantizer, vectors, codes, ids = fitted()
    report = CodebookReport.measure(quantizer, vectors, codes, ids)
    variance = ((vectors - vectors.mean(0)) ** 2).sum()
    for level, found in enumerate(report.levels):
        counts = collections.Counter(codes[:, level].tolist())
        entropy = -sum(n / 120 * math.log2(n / 120) for n in counts.values())
        assert found.used == len(counts) and found.dead == 4 - len(counts)
        assert math.isclose(found.entropy, entropy, rel_tol=1e-9)
        assert math.isclose(found.perplexity, 2**entropy, rel_tol=1e-9)
        assert math.isclose(found.largest_share, max(counts.values()) / 120)
        prefixes = {tuple(row[: level + 1]) for row in codes.tolist()}
        assert found.prefixes == len(prefixes) and math.isclose(found.items_per_prefix, 120 / len(prefixes))
        rebuilt = sum(quantizer.codebooks[i][codes[:, i]] for i in range(level + 1))
        assert math.isclose(found.error, ((vectors - rebuilt) ** 2).sum() / variance, rel_tol=1e-4)
    tuples = collections.defaultdict(list)
    for item_id, row in zip(ids, codes.tolist(), strict=True):
        tuples[tuple(row)].append(item_id)
    colliding = {key: sorted(members) for key, members in tuples.items() if len(members) > 1}
    assert {group.codes: list(group.item_ids) for group in report.collisions} == colliding
    assert math.isclose(report.collision_rate, sum(map(len, colliding.values())) / 120)
    assert report.distinct_tuples == len(tuples)
    sizes = [len(group.item_ids) for group in report.collisions]
    assert sizes == sorted(sizes, reverse=True)
    cosines = [v @ w / np.linalg.norm(v) / np.linalg.norm(w) for v, w in zip(vectors, rebuilt, strict=True)]
    assert math.isclose(report.cosine, np.mean(cosines), rel_tol=1e-4)


def test_one_shared_tuple_is_reported():
    vectors = np.zeros((5, 3), np.float32)
    vectors[4] = [1, 0, 0]
    quantizer = RqKmeans(levels=2, codes=3).fit(vectors)
    report = CodebookReport.measure(quantizer, vectors, quantizer.encode(vectors), list("abcde"))
    assert report.empty_vectors == 4 and report.collision_rate == 0.8
    assert report.collisions[0].item_ids == ("a", "b", "c", "d")
    assert "4 items have an empty vector" in report.table() and "80.00%" in report.table()


def test_round_trip_table_and_plot(tmp_path):
    quantizer, vectors, codes, ids = fitted()
    codes = disambiguate(codes, ids)
    report = CodebookReport.measure(quantizer, vectors, codes, ids)
    assert report.collision_rate == 0.0 and report.levels[3].error != report.levels[3].error
    text = json.dumps(report.to_dict(), allow_nan=False)
    again = CodebookReport.from_dict(json.loads(text))
    assert again.table() == report.table()
    np.testing.assert_array_equal(again.usage, report.usage)
    report.plot(str(tmp_path / "r.png"))
    assert (tmp_path / "r.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_disambiguated_tuples_are_distinct_and_keep_their_prefix(rows):
    codes = np.asarray(rows, np.int32)
    ids = [f"id{row}" for row in range(len(rows))]
    wide = disambiguate(codes, ids)
    np.testing.assert_array_equal(wide[:, :2], codes)
    assert len(np.unique(wide, axis=0)) == len(rows)
    counts = collections.Counter(rows)
    assert all(digit < counts[tuple(row)] for *row, digit in wide.tolist())
    groups, sizes = tuple_groups(codes)
    assert [sizes[group] for group in groups] == [counts[row] for row in rows]


def test_a_digit_depends_on_the_ids_and_not_on_the_order():
    codes = np.zeros((6, 2), np.int32)
    ids = list("uvwxyz")
    digits = dict(zip(ids, disambiguate(codes, ids)[:, 2].tolist(), strict=True))
    assert dict(zip(ids[::-1], disambiguate(codes, ids[::-1])[:, 2].tolist(), strict=True)) == digits
    assert sorted(disambiguate(codes, ids, limit=4)[:, 2].tolist()) == [0, 0, 1, 1, 2, 3]
