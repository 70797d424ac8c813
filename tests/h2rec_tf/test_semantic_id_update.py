"""Codes stay what they were while the codebooks fit; the gate refuses what tells too little apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import tiny_dataset

from h2rec_tf.config import CodebookConfig, QuantizerConfig, TextConfig
from h2rec_tf.data.sequences import Catalogue, catalogue_order
from h2rec_tf.errors import InputError
from h2rec_tf.quantizers.codebook_gate import check_codebooks, codebook_faults
from h2rec_tf.quantizers.codebook_report import CodebookReport
from h2rec_tf.quantizers.disambiguation import disambiguate
from h2rec_tf.quantizers.rq_kmeans import RqKmeans
from h2rec_tf.semantic_id_update import Update, update_semantic_ids
from h2rec_tf.semantic_ids import SemanticIds

QUANTIZER = QuantizerConfig(levels=2, codes=4, iterations=5)


def catalogue(rows: int, *, start: int = 0, scale: float = 1.0, vectors: bool = True, width: int = 6) -> Catalogue:
    """Items `start..start + rows`, each with its own text and vector whatever the others are."""
    ids = [f"item-{number}" for number in range(start, start + rows)]
    order = catalogue_order(ids)
    texts = [f"word{number % 7} word{number % 5} word{number % 3}" for number in range(start, start + rows)]
    given = np.stack([np.random.default_rng(number).normal(size=width) for number in range(start, start + rows)])
    given[:, 1:] *= scale
    return Catalogue(
        np.asarray(ids, object)[order],
        np.asarray(ids, object)[order],
        np.asarray(texts, object)[order],
        given.astype(np.float32)[order] if vectors else None,
    )


def update(
    items: Catalogue, previous: tuple[SemanticIds, Update] | None = None, **changes: Any
) -> tuple[SemanticIds, Update]:
    options = {"text": TextConfig(dimensions=4), "quantizer": QUANTIZER, "codebooks": CodebookConfig(), **changes}
    return update_semantic_ids(items, previous, **options)


def codes_by_item(semantic_ids: SemanticIds) -> dict[str, tuple[int, ...]]:
    return dict(zip(semantic_ids.item_ids.tolist(), map(tuple, semantic_ids.codes.tolist()), strict=True))


@pytest.mark.parametrize("vectors", [True, False])
@pytest.mark.parametrize("disambiguation", [True, False])
def test_unchanged_items_keep_their_codes(vectors: bool, disambiguation: bool) -> None:
    quantizer = QuantizerConfig(levels=2, codes=4, iterations=5, disambiguation=disambiguation)
    first = update(catalogue(40, vectors=vectors), quantizer=quantizer)
    # Ten are gone, five are new.
    second, facts = update(catalogue(35, start=10, vectors=vectors), first, quantizer=quantizer)
    assert (facts.refit, facts.kept, facts.new, facts.removed, facts.changed) == (False, 30, 5, 10, 0)
    before, after = codes_by_item(first[0]), codes_by_item(second)
    assert {item: after[item] for item in before.keys() & after.keys()} == {
        item: before[item] for item in before.keys() & after.keys()
    }
    np.testing.assert_array_equal(second.codebooks, first[0].codebooks)
    base = second.codes[:, :2]
    np.testing.assert_array_equal(base, first[0].quantizer.encode(second.vectors))
    if disambiguation:
        groups = [tuple(row) for row in second.codes.tolist()]
        assert len(set(groups)) == len(groups) or max(np.unique(base, axis=0, return_counts=True)[1]) > quantizer.codes


def test_a_changed_item_is_counted() -> None:
    first = update(catalogue(40))
    items = catalogue(40)
    assert items.vectors is not None
    items.vectors[3] *= -1
    second, facts = update(items, first)
    moved = tuple(second.codes[3]) != tuple(first[0].codes[3])
    assert (facts.refit, facts.kept, facts.changed) == (False, 40, int(moved))
    assert moved
    assert facts.churn == 1 / 40


@pytest.mark.parametrize(
    ("items", "changes", "reason"),
    [
        (catalogue(40), {"quantizer": QuantizerConfig(levels=3, codes=4, iterations=5)}, "configuration of quantizer"),
        (catalogue(40), {"seed": 5}, "configuration of seed"),
        (catalogue(40), {"codebooks": CodebookConfig(reuse=False)}, "codebooks.reuse is off"),
        (catalogue(40, width=7), {}, "vectors have 7 numbers, not 6"),
        (catalogue(40, vectors=False), {}, "vectors are now made from text"),
        (catalogue(40, start=100, scale=9.0), {"codebooks": CodebookConfig(max_error_growth=0.0)}, "error rose"),
    ],
)
def test_codebooks_are_fitted_anew_for_a_reason(items: Catalogue, changes: dict[str, Any], reason: str) -> None:
    _, facts = update(items, update(catalogue(40, scale=0.1)), **changes)
    assert facts.refit
    assert reason in facts.reason
    assert facts.fitted_error == facts.error


def test_the_error_is_compared_with_that_of_the_fit() -> None:
    first = update(catalogue(40))
    second = update(catalogue(40, start=5), first)
    third = update(catalogue(40, start=10), second)
    assert first[1].fitted_error == second[1].fitted_error == third[1].fitted_error
    assert third[1].error != first[1].error


def test_an_update_survives_its_file() -> None:
    facts = update(catalogue(10), update(catalogue(12)))[1]
    assert Update.from_json(facts.to_json()) == facts


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"max_collision_rate": 0.1}, "share their code tuple"),
        ({"min_perplexity": 1.0}, "codebooks.min_perplexity asks for 100.0%"),
        ({"max_dead_codes": 0.0}, "dead codes of 8"),
        ({"max_tuple_share": 0.1}, "one and the same code tuple"),
    ],
)
def test_the_gate_names_figure_limit_and_remedy(limits: dict[str, float], words: str) -> None:
    items = tiny_dataset(num_items=32).catalogue
    # Few distinct vectors: some codes die, and items collide.
    assert items.vectors is not None
    items.vectors[:] = items.vectors[np.arange(32) % 5]
    built, _ = update(items, quantizer=QuantizerConfig(levels=1, codes=8, iterations=5))
    lenient = {"max_collision_rate": 1.0, "min_perplexity": 0.0, "max_dead_codes": 1.0, "max_tuple_share": 0.3}
    check_codebooks(built.report, CodebookConfig(**lenient))
    with pytest.raises(InputError, match=r"codebooks refused: .*quantizer\.codes \(now 8\)") as caught:
        check_codebooks(built.report, CodebookConfig(**{**lenient, **limits}))
    assert words in str(caught.value)


def reported(codes: np.ndarray, vectors: np.ndarray, *, levels: int, size: int) -> CodebookReport:
    """The report on any codes, whatever the quantizer would have given."""
    quantizer = RqKmeans(levels=levels, codes=size, iterations=2).fit(vectors)
    return CodebookReport.measure(quantizer, vectors, codes, [f"item-{row}" for row in range(len(codes))])


def spread(rows: int, *, levels: int = 2, size: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Codes with every one used equally, and vectors of the same number of items."""
    generator = np.random.default_rng(0)
    codes = np.stack([(np.arange(rows) // size**level) % size for level in range(levels)], axis=1)
    return codes.astype(np.int32), generator.normal(size=(rows, 6)).astype(np.float32)


@pytest.mark.parametrize(("share", "refused"), [(0.3, False), (0.48, False), (0.52, True), (0.9, True)])
def test_half_of_the_catalogue_on_one_code_is_refused_by_the_defaults(share: float, refused: bool) -> None:
    codes, vectors = spread(200)
    crowd = round(share * 200)
    codes[:crowd, 0] = 0
    # Told apart below, and the others use every code, so that nothing else is wrong.
    codes[:crowd, 1] = np.arange(crowd) % 16
    codes[crowd:, 0] = 1 + np.arange(200 - crowd) % 15
    codes = np.concatenate([codes, (np.arange(200) // 16 % 16)[:, None].astype(np.int32)], axis=1)
    report = reported(codes, vectors, levels=3, size=16)
    assert report.levels[0].largest_share == pytest.approx(share)
    faults = codebook_faults(report, CodebookConfig(min_perplexity=0.0, max_collision_rate=1.0))
    assert bool(faults) == refused, faults
    if refused:
        assert f"{share:.1%} of the items have one and the same code at level 1" in faults[0]
        assert not codebook_faults(report, CodebookConfig(min_perplexity=0.0, max_collision_rate=1.0, max_code_share=1))


@pytest.mark.parametrize(("share", "refused"), [(0.2, False), (0.3, True)])
def test_a_quarter_of_the_catalogue_on_one_tuple_is_refused_by_the_defaults(share: float, refused: bool) -> None:
    codes, vectors = spread(200)
    codes[: round(share * 200)] = 0
    report = reported(codes, vectors, levels=2, size=16)
    # Another item may have that tuple by itself.
    assert report.largest_tuple_share == pytest.approx(share, abs=0.01)
    faults = codebook_faults(report, CodebookConfig())
    assert bool(faults) == refused, faults
    if refused:
        assert "of the items have one and the same code tuple" in faults[0]
        assert not codebook_faults(report, CodebookConfig(max_tuple_share=1))


def test_what_else_tells_nothing_apart_is_refused_even_with_a_disambiguation_digit() -> None:
    codes, vectors = spread(200)
    # All on one code: two codes are used equally little by the share of perplexity and of dead codes alone.
    one = np.zeros_like(codes)
    lenient = CodebookConfig(max_collision_rate=1.0, min_perplexity=0.0, max_dead_codes=1.0, max_tuple_share=1.0)
    assert (
        "100.0% of the items have one and the same code"
        in codebook_faults(reported(one, vectors, levels=2, size=16), lenient)[0]
    )
    digits = disambiguate(one, [f"item-{row}" for row in range(200)])
    assert (
        "100.0% of the items have one and the same code"
        in codebook_faults(reported(digits, vectors, levels=2, size=16), lenient)[0]
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_not_numbers_are_refused(value: float) -> None:
    codes, vectors = spread(200)
    report = reported(codes, vectors, levels=2, size=16)
    quantizer = RqKmeans(levels=2, codes=16, iterations=2).fit(vectors)
    vectors[7, 2] = value
    with np.errstate(invalid="ignore"):
        spoiled = CodebookReport.measure(quantizer, vectors, codes, [f"item-{row}" for row in range(200)])
    everything = CodebookConfig(
        max_collision_rate=1.0, min_perplexity=0.0, max_dead_codes=1.0, max_tuple_share=1.0, max_code_share=1.0
    )
    assert not codebook_faults(report, everything)
    assert "not finite numbers" in codebook_faults(spoiled, everything)[0]


def test_a_level_with_nothing_to_tell_apart_is_not_judged() -> None:
    # More codes than distinct vectors: the first level says it all, the second has one code.
    items = catalogue(60, width=10)
    assert items.vectors is not None
    # Unit vectors: their means are exact.
    items.vectors[:] = np.eye(10)[np.arange(60) % 10]
    built, _ = update(items, quantizer=QuantizerConfig(levels=2, codes=32, iterations=25, components=0))
    assert built.report.levels[1].perplexity == 1.0
    assert not codebook_faults(built.report, CodebookConfig(max_collision_rate=1.0))
