"""A model and the recommenders that need no training on the same test cases."""

from __future__ import annotations

import dataclasses
import json
import os

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tfx import types
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils

from h2rec_tf import names
from h2rec_tf.baseline_gate import BaselineVerdict, judge
from h2rec_tf.config import GateConfig
from h2rec_tf.data.sequences import Holdout, Sequences
from h2rec_tf.errors import InputError
from h2rec_tf.evaluation import Protocol, Recommender, evaluate
from h2rec_tf.metrics import ranking, slices
from h2rec_tf.models.floors import baselines

# In an evaluation artifact.
BASELINES_FILE = "baselines.json"
_K = 10
_GAIN = f"ndcg_{_K}"
_ROWS = 512


@dataclasses.dataclass(frozen=True)
class BaselineResults:
    """What was measured, and what the gate says of it.

    Attributes:
        ndcg: baseline -> slice -> NDCG@10, of all baselines there are; slices without users are left out.
        verdict: against those of `gate.baselines`.
        not_compared: why the last blessed model was not compared with; "" where it was, or where there was none.
    """

    ndcg: dict[str, dict[str, float]]
    verdict: BaselineVerdict
    not_compared: str = ""

    def lines(self) -> list[str]:
        """The comparisons in words, for reports."""
        return [*self.verdict.lines(), *([self.not_compared] if self.not_compared else [])]

    def save(self, evaluation: str) -> None:
        """Writes it into the artifact in the directory `evaluation`."""
        content = {"ndcg_10": self.ndcg, "verdict": self.verdict.to_dict(), "not_compared": self.not_compared}
        io_utils.write_string_file(os.path.join(evaluation, BASELINES_FILE), json.dumps(content, indent=1))

    @classmethod
    def load(cls, evaluation: str) -> BaselineResults:
        """Reads what `save` wrote.

        Raises:
            InputError: it is not there; what was not compared must not pass as compared.
        """
        path = os.path.join(evaluation, BASELINES_FILE)
        if not fileio.exists(path):
            raise InputError(f"{path}: the comparison with baselines is missing; delete {evaluation} and run again")
        content = json.loads(io_utils.read_string_file(path))
        verdict = BaselineVerdict.from_dict(content["verdict"])
        return cls(content["ndcg_10"], verdict, content.get("not_compared", ""))


def compare(
    saved_model: str,
    examples: list[types.Artifact],
    transform_graph: str,
    *,
    train: Sequences,
    popularity: np.ndarray,
    head_fraction: float,
    seen: str,
    gate: GateConfig,
) -> BaselineResults:
    """Measures and judges.

    As in the model's `evaluate` signature, a target outside the catalogue, or one that a server would leave out as
    seen, is missed by all.

    Args:
        saved_model: directory of the judged model.
        examples: user examples before the transformation, as the model's `evaluate` signature takes them.
        transform_graph: directory of what transforms them.
        train: the training split.
        popularity: int `[N + 1]`, training interactions of each item index.
        head_fraction: share of the catalogue that is head.
        seen: what is served of seen items, as `serving.seen`.
        gate: what is asked.
    """
    test, model = _measured(saved_model, examples, tft.TFTransformOutput(transform_graph))
    members = slices.user_slices(test.targets, test.histories.lengths, popularity, head_fraction)
    gains, ndcg = {}, {}
    for name, baseline in baselines(train, popularity).items():
        gains[name] = _gains(baseline, test, popularity, Protocol(seen))
        ndcg[name] = {part: float(gains[name][mask].mean()) for part, mask in members.items() if mask.any()}
    verdict = judge(model, gains, users=test.histories.user_ids, tail=members[names.TAIL], gate=gate)
    return BaselineResults(ndcg, verdict)


def _measured(
    saved_model: str, examples: list[types.Artifact], transform: tft.TFTransformOutput
) -> tuple[Holdout, np.ndarray]:
    """The test split, and float64 `[C]`, NDCG@10 of each row by the signature that the Evaluator measures."""
    loaded = tf.saved_model.load(saved_model)
    evaluated = loaded.signatures[names.EVALUATE]
    layer, spec = transform.transform_features_layer(), transform.raw_feature_spec()
    files = [
        file
        for uri in artifact_utils.get_split_uris(examples, names.TEST)
        for file in tf.io.gfile.glob(io_utils.all_files_pattern(uri))
    ]
    parts: dict[str, list[np.ndarray]] = {key: [] for key in ("users", "items", "lengths", "targets", "gains")}
    for rows in tf.data.TFRecordDataset(sorted(files), compression_type="GZIP").batch(_ROWS):
        raw = tf.io.parse_example(rows, spec)
        features = layer(raw)
        history = features[names.HISTORY_INDEX]
        parts["users"].append(tf.sparse.to_dense(raw[names.USER_ID])[:, 0].numpy())
        parts["items"].append(history.values.numpy())
        parts["lengths"].append(np.bincount(history.indices[:, 0].numpy(), minlength=len(rows)))
        parts["targets"].append(features[names.TARGET_INDEX].numpy())
        parts["gains"].append(evaluated(examples=rows)[_GAIN].numpy())
    whole = {key: np.concatenate([*found, np.zeros(0, np.int64)]) for key, found in parts.items()}
    offsets = np.concatenate([[0], np.cumsum(whole["lengths"])]).astype(np.int64)
    histories = Sequences(whole["users"], whole["items"].astype(np.int32), offsets)
    return Holdout(histories, whole["targets"].astype(np.int32)), whole["gains"].astype(np.float64)


def _gains(baseline: Recommender, test: Holdout, popularity: np.ndarray, protocol: Protocol) -> np.ndarray:
    """float64 `[C]`: NDCG@10 of each row, ranked as the `evaluate` signature ranks."""
    if not len(test):
        return np.zeros(0)
    result = evaluate(baseline, test, popularity=popularity, ks=(_K,), protocol=protocol, recommendation_k=0)
    return ranking.ndcg(result.ranks, _K)
