"""Semantic IDs of a changed catalogue with the codebooks of the one before, so that codes stay what they were."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np

from h2rec_tf.config import CodebookConfig, QuantizerConfig, TextConfig
from h2rec_tf.config_tree import to_dict
from h2rec_tf.data.sequences import Catalogue
from h2rec_tf.quantizers.codebook_report import CodebookReport
from h2rec_tf.quantizers.disambiguation import disambiguate
from h2rec_tf.semantic_ids import SemanticIds, build_semantic_ids, check_item_ids
from h2rec_tf.text.base import normalised

UPDATE_FILE = "update.json"

# Vectors that differ by less are the same: encoders round differently in batches of different sizes.
_SAME = 1e-5
# Growth of an error that was near zero says nothing.
_ERROR_SLACK = 1e-3


@dataclasses.dataclass(frozen=True)
class Update:
    """How semantic IDs came about.

    Attributes:
        refit: codebooks were fitted anew.
        reason: why, or why not.
        settings: the configuration of text and quantizer and the seed that the codebooks were fitted with.
        fitted_error: reconstruction error on the catalogue that the codebooks were fitted on.
        error: on this catalogue.
        kept: items that the catalogue before had too.
        changed: those of them whose codes are different now.
        new: items that it had not.
        removed: items of it that are gone.
    """

    refit: bool
    reason: str
    settings: dict[str, Any]
    fitted_error: float
    error: float
    kept: int = 0
    changed: int = 0
    new: int = 0
    removed: int = 0

    @property
    def churn(self) -> float:
        """Share of the items of both catalogues whose codes changed."""
        return self.changed / self.kept if self.kept else 0.0

    def to_json(self) -> str:
        """Text for `update.json`, beside the files of `SemanticIds.save`."""
        return json.dumps(dataclasses.asdict(self) | {"churn": self.churn}, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Update:
        """What `to_json` described."""
        values = json.loads(text)
        values.pop("churn")
        return cls(**values)


def update_semantic_ids(
    catalogue: Catalogue,
    previous: tuple[SemanticIds, Update] | None,
    *,
    text: TextConfig,
    quantizer: QuantizerConfig,
    codebooks: CodebookConfig,
    seed: int = 0,
    progress: bool = False,
) -> tuple[SemanticIds, Update]:
    """Semantic IDs of a catalogue.

    With the previous ones at hand and nothing against it, their text encoder and codebooks encode the catalogue: an
    item whose vector did not change keeps its codes exactly. Everything is fitted anew where text, quantizer or seed
    are configured otherwise, vectors have another width or origin, or the codebooks do not fit the catalogue any more.

    Args:
        catalogue: N items.
        previous: of the catalogue before, or None.
        text: how vectors come about.
        quantizer: how codes come about.
        codebooks: whether to reuse at all, and how far the reconstruction error may grow.
        seed: of encoder and quantizer.
        progress: shows bars on stderr when that is a terminal.

    Raises:
        InputError: as `build_semantic_ids`.
    """
    settings: dict[str, Any] = {"text": to_dict(text), "quantizer": to_dict(quantizer), "seed": seed}
    # Where encoded texts are kept changes no vector.
    settings["text"].pop("cache_dir")
    reason = _against_reuse(catalogue, previous, text, settings, codebooks)
    if not reason and previous is not None:
        before, update = previous
        reused = _reused(catalogue, before, quantizer)
        limit = update.fitted_error * (1 + codebooks.max_error_growth) + _ERROR_SLACK
        if reused.report.error <= limit:
            facts = {"refit": False, "reason": "the codebooks still fit", "fitted_error": update.fitted_error}
            return reused, _compared(reused, before, settings=settings, **facts)
        reason = (
            f"the reconstruction error rose from {update.fitted_error:.4f} to {reused.report.error:.4f}, more than "
            f"codebooks.max_error_growth {codebooks.max_error_growth} allows"
        )
    built = build_semantic_ids(catalogue, text=text, quantizer=quantizer, seed=seed, progress=progress)
    facts = {"refit": True, "reason": reason, "fitted_error": built.report.error}
    return built, _compared(built, None if previous is None else previous[0], settings=settings, **facts)


def _against_reuse(
    catalogue: Catalogue,
    previous: tuple[SemanticIds, Update] | None,
    text: TextConfig,
    settings: dict[str, Any],
    codebooks: CodebookConfig,
) -> str:
    """Why the previous codebooks cannot be used; "" if they can."""
    if previous is None:
        return "there are no earlier semantic IDs"
    if not codebooks.reuse:
        return "codebooks.reuse is off"
    before, update = previous
    differing = [key for key in settings if settings[key] != update.settings.get(key)]
    if differing:
        return f"the configuration of {' and '.join(differing)} changed"
    given = text.encoder == "vectors" or (text.encoder == "auto" and catalogue.vectors is not None)
    if given != (before.text_encoder is None):
        return f"vectors are now {'given' if given else 'made from text'}"
    if given and catalogue.vectors is not None and catalogue.vectors.shape[1] != before.vectors.shape[1]:
        return f"vectors have {catalogue.vectors.shape[1]} numbers, not {before.vectors.shape[1]}"
    return ""


def _reused(catalogue: Catalogue, before: SemanticIds, quantizer: QuantizerConfig) -> SemanticIds:
    """The catalogue through the encoder and the codebooks of the one before."""
    check_item_ids(catalogue.item_ids)
    if before.text_encoder is None:
        vectors = normalised(np.asarray(catalogue.vectors))
    else:
        vectors = normalised(before.text_encoder.encode(catalogue.texts.tolist()))
    rows, old_rows = _common(catalogue.item_ids, before.item_ids)
    same = np.abs(vectors[rows] - before.vectors[old_rows]).max(axis=1, initial=0.0) < _SAME
    rows, old_rows = rows[same], old_rows[same]
    vectors[rows] = before.vectors[old_rows]
    codes = before.quantizer.encode(vectors)
    levels = codes.shape[1]
    codes[rows] = before.codes[old_rows, :levels]
    if quantizer.disambiguation:
        digits = np.full(len(codes), -1, np.int64)
        digits[rows] = before.codes[old_rows, levels]
        codes = disambiguate(codes, catalogue.item_ids.tolist(), limit=quantizer.codes, kept=digits)
    return dataclasses.replace(
        before,
        item_ids=catalogue.item_ids,
        titles=catalogue.titles,
        codes=codes,
        vectors=vectors,
        report=CodebookReport.measure(before.quantizer, vectors, codes, catalogue.item_ids.tolist()),
    )


def _compared(now: SemanticIds, before: SemanticIds | None, **facts: Any) -> Update:
    update = Update(error=now.report.error, new=len(now), **facts)
    if before is None:
        return update
    rows, old_rows = _common(now.item_ids, before.item_ids)
    if now.codes.shape[1] == before.codes.shape[1]:
        changed = int((now.codes[rows] != before.codes[old_rows]).any(axis=1).sum())
    else:
        changed = len(rows)
    return dataclasses.replace(
        update, kept=len(rows), changed=changed, new=len(now) - len(rows), removed=len(before) - len(rows)
    )


def _common(item_ids: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int64 `[n]` rows of both arrays that hold the same item."""
    place = {item_id: row for row, item_id in enumerate(others.tolist())}
    found = np.asarray([place.get(item_id, -1) for item_id in item_ids.tolist()], np.int64)
    rows = np.flatnonzero(found >= 0)
    return rows, found[rows]
