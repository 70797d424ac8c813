"""What is measured, and what a model must reach."""

from __future__ import annotations

import dataclasses

from h2rec_tf.config_tree import choice, choices, number


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """What is measured."""

    ks: tuple[int, ...] = (5, 10, 20)
    # Share of the catalogue, most popular in training first, that is the head.
    head_fraction: float = number(0.2, low=0.0, high=1.0)
    # 0 ranks the whole catalogue; above 0 the target is ranked among that many uniform unseen items.
    sampled_negatives: int = number(0, low=0)
    seed: int = number(0, low=0)


@dataclasses.dataclass(frozen=True)
class SliceGateConfig:
    """Thresholds of one slice."""

    min_ndcg_at_10: float = number(0.0, low=0.0, high=1.0)
    # Relative loss against the last blessed model that is still accepted; -1 takes `gate.max_relative_drop`.
    max_relative_drop: float = number(-1.0, low=-1.0, high=1.0)


@dataclasses.dataclass(frozen=True)
class GateConfig:
    """When the pipeline's Evaluator blesses a model, and what `--gate` of `h2rec train` and `h2rec evaluate` asks."""

    # Recommenders without training, fitted on the training split, whose NDCG@10 a model must beat overall: the interval
    # of the difference, a paired bootstrap over the test users, lies above 0. An empty list asks nothing.
    baselines: tuple[str, ...] = choices(("popularity", "item_knn"))
    # Of that interval, two-sided.
    confidence: float = number(0.95, low=0.5, high=0.9999)
    # Relative loss on the tail, against the best of `baselines` there, that is still accepted; 1 does not look at it.
    max_tail_loss: float = number(0.1, low=0.0, high=1.0)
    # Over the whole test split.
    min_ndcg_at_10: float = number(0.0, low=0.0, high=1.0)
    # Relative loss against the last blessed model that is still accepted: overall, for head and for tail.
    max_relative_drop: float = number(0.05, low=0.0, high=1.0)
    # Slice name -> `min_ndcg_at_10`, `max_relative_drop`: thresholds of more slices, or others for those three. Names:
    # overall, head, tail, cold, "popularity 1-9" and so on, "history 1-4" and so on.
    slices: dict[str, SliceGateConfig] = dataclasses.field(default_factory=dict)
    # Local runs load the model in a server's image before it is pushed. auto: where a Docker daemon answers.
    infra_validation: str = choice("auto", "on", "off")
    # The image it is loaded in, NAME:TAG or NAME@DIGEST: TensorFlow Serving's, or h2rec's own server.
    infra_validation_image: str = "tensorflow/serving:2.16.1"
