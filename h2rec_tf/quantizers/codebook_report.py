"""What a fitted quantizer did with a catalogue."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from h2rec_tf.quantizers.base import Quantizer, blocks, float_rows
from h2rec_tf.quantizers.disambiguation import tuple_groups


@dataclasses.dataclass(frozen=True)
class LevelReport:
    """One code level.

    Attributes:
        level: 1..L, coarse to fine.
        used: codes that at least one item has.
        dead: codes that no item has.
        entropy: of the code distribution over items, in bits; at most log2 K.
        perplexity: 2 ** entropy, the number of equally used codes with that entropy.
        largest_share: share of items on the most used code.
        prefixes: distinct code tuples of length `level`.
        items_per_prefix: mean items that share such a prefix.
        error: squared error of the vectors rebuilt from levels 1..level, as a share of the vectors' variance (0 is
            exact, 1 is no better than the mean vector); NaN for a disambiguation digit.
    """

    level: int
    used: int
    dead: int
    entropy: float
    perplexity: float
    largest_share: float
    prefixes: int
    items_per_prefix: float
    error: float


@dataclasses.dataclass(frozen=True)
class CollisionGroup:
    """Items with the identical code tuple, which are one item to a model that sees codes alone."""

    codes: tuple[int, ...]
    item_ids: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class CodebookReport:
    """Codebook statistics over a catalogue.

    Attributes:
        items: N.
        codes: K.
        levels: one entry per code level.
        distinct_tuples: different code tuples.
        collision_rate: share of items whose tuple another item has too.
        collisions: the groups of such items, largest first.
        error: as `LevelReport.error`, after all levels of the quantizer.
        cosine: mean cosine between vectors and their reconstructions, over the vectors that are not zero.
        empty_vectors: items whose vector is zero (no text); they share one tuple.
        usage: int64 `[L, K]`, items per code; wider where a digit exceeds K - 1.
    """

    items: int
    codes: int
    levels: tuple[LevelReport, ...]
    distinct_tuples: int
    collision_rate: float
    collisions: tuple[CollisionGroup, ...]
    error: float
    cosine: float
    empty_vectors: int
    usage: np.ndarray

    @property
    def largest_tuple_share(self) -> float:
        """Share of items on the most common code tuple."""
        return max((len(group.item_ids) for group in self.collisions), default=1) / self.items

    @classmethod
    def measure(
        cls, quantizer: Quantizer, vectors: np.ndarray, codes: np.ndarray, item_ids: Sequence[str]
    ) -> CodebookReport:
        """Measures `codes` of `vectors`.

        Args:
            quantizer: the fitted quantizer that gave the codes.
            vectors: float `[N, D]`.
            codes: int32 `[N, L]`, or `[N, L + 1]` with a disambiguation digit.
            item_ids: N strings.
        """
        count, width = codes.shape
        errors, cosine, empty = _reconstruction(quantizer, vectors, codes)
        errors += [float("nan")] * (width - quantizer.levels)
        # A digit without a limit may exceed K.
        size = max(quantizer.codes, int(codes.max()) + 1)
        usage = np.stack([np.bincount(codes[:, level], minlength=size) for level in range(width)])
        levels = []
        for level in range(width):
            prefixes = len(tuple_groups(codes[:, : level + 1])[1])
            levels.append(_level_report(level + 1, usage[level], quantizer.codes, prefixes, errors[level]))
        groups, sizes = tuple_groups(codes)
        return cls(
            items=count,
            codes=quantizer.codes,
            levels=tuple(levels),
            distinct_tuples=len(sizes),
            collision_rate=float(sizes[sizes > 1].sum() / count),
            collisions=_collisions(codes, groups, sizes, item_ids),
            error=errors[quantizer.levels - 1],
            cosine=cosine,
            empty_vectors=empty,
            usage=usage,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a digit's error is None, as JSON has no NaN."""
        result: dict[str, Any] = {name: getattr(self, name) for name in _SCALARS}
        result["levels"] = [
            {name: None if value != value else value for name, value in dataclasses.asdict(level).items()}
            for level in self.levels
        ]
        result["collisions"] = [
            {"codes": list(group.codes), "item_ids": list(group.item_ids)} for group in self.collisions
        ]
        result["usage"] = self.usage.tolist()
        return result

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> CodebookReport:
        """The report that `to_dict` described."""
        levels = [
            LevelReport(**(level | {"error": float("nan") if level["error"] is None else level["error"]}))
            for level in values["levels"]
        ]
        groups = [CollisionGroup(tuple(group["codes"]), tuple(group["item_ids"])) for group in values["collisions"]]
        return cls(
            **{name: values[name] for name in _SCALARS},
            levels=tuple(levels),
            collisions=tuple(groups),
            usage=np.asarray(values["usage"], np.int64),
        )

    def table(self, *, groups: int = 5) -> str:
        """Text for a terminal; at most `groups` collision groups are listed."""
        lines = ["level   used   dead  entropy  perplexity  largest  prefixes  items/prefix  error"]
        for level in self.levels:
            error = "-" if level.error != level.error else f"{level.error:.4f}"
            lines.append(
                f"{level.level:>5} {level.used:>6} {level.dead:>6} {level.entropy:>8.2f} {level.perplexity:>11.1f} "
                f"{level.largest_share:>8.2%} {level.prefixes:>9} {level.items_per_prefix:>13.2f} {error:>6}"
            )
        colliding = sum(len(group.item_ids) for group in self.collisions)
        lines.append(
            f"{self.items} items, {self.distinct_tuples} distinct tuples; {colliding} items "
            f"({self.collision_rate:.2%}) share theirs, in {len(self.collisions)} groups, the largest with "
            f"{self.largest_tuple_share:.2%} of all items"
        )
        lines.append(f"reconstruction: {self.error:.4f} of the variance is lost, mean cosine {self.cosine:.4f}")
        if self.empty_vectors:
            lines.append(f"{self.empty_vectors} items have an empty vector (no text) and share one tuple")
        for group in self.collisions[:groups]:
            shown = ", ".join(group.item_ids[:5]) + (", ..." if len(group.item_ids) > 5 else "")
            lines.append(f"  {'-'.join(map(str, group.codes))}: {len(group.item_ids)} items: {shown}")
        return "\n".join(lines)

    def plot(self, path: str) -> None:
        """Writes a PNG: code usage by level, and error and prefix sharing over levels."""
        from h2rec_tf.quantizers.report_plot import plot_report

        plot_report(self, path)


_SCALARS = ("items", "codes", "distinct_tuples", "collision_rate", "error", "cosine", "empty_vectors")


def _level_report(level: int, usage: np.ndarray, codes: int, prefixes: int, error: float) -> LevelReport:
    count = int(usage.sum())
    shares = usage[usage > 0] / count
    entropy = float(-(shares * np.log2(shares)).sum()) + 0.0
    return LevelReport(
        level=level,
        used=int((usage > 0).sum()),
        dead=int((usage[:codes] == 0).sum()),
        entropy=entropy,
        perplexity=float(2.0**entropy),
        largest_share=float(shares.max()),
        prefixes=prefixes,
        items_per_prefix=count / prefixes,
        error=error,
    )


def _reconstruction(quantizer: Quantizer, vectors: np.ndarray, codes: np.ndarray) -> tuple[list[float], float, int]:
    """Error after each level, mean cosine and the number of zero vectors."""
    total = np.zeros(vectors.shape[1], np.float64)
    for block in blocks(len(vectors), quantizer.block_rows):
        total += float_rows(vectors, block).sum(axis=0, dtype=np.float64)
    mean = (total / len(vectors)).astype(np.float32)
    variance = cosine = 0.0
    empty = 0
    errors = np.zeros(quantizer.levels, np.float64)
    for block in blocks(len(vectors), quantizer.block_rows):
        rows = float_rows(vectors, block)
        variance += float(np.square(rows - mean).sum(dtype=np.float64))
        for level in range(quantizer.levels):
            rebuilt = quantizer.decode(codes[block], levels=level + 1)
            errors[level] += float(np.square(rows - rebuilt).sum(dtype=np.float64))
        norms = np.linalg.norm(rows, axis=1)
        empty += int((norms == 0).sum())
        products = np.maximum(norms * np.linalg.norm(rebuilt, axis=1), 1e-12)
        cosine += float((np.einsum("bd,bd->b", rows, rebuilt) / products).sum(dtype=np.float64))
    # All vectors equal: nothing to explain, so the error is 0 when they are rebuilt exactly.
    shares = errors / variance if variance > 0 else errors
    return [float(share) for share in shares], cosine / max(len(vectors) - empty, 1), empty


def _collisions(
    codes: np.ndarray, groups: np.ndarray, sizes: np.ndarray, item_ids: Sequence[str]
) -> tuple[CollisionGroup, ...]:
    members = np.split(np.argsort(groups, kind="stable"), np.cumsum(sizes)[:-1])
    shared = sorted(np.flatnonzero(sizes > 1).tolist(), key=lambda group: -sizes[group])
    return tuple(
        CollisionGroup(
            tuple(codes[members[group][0]].tolist()), tuple(sorted(str(item_ids[row]) for row in members[group]))
        )
        for group in shared
    )
