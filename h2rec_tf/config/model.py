"""What the model is made of."""

from __future__ import annotations

import dataclasses

from h2rec_tf.config_tree import choice, number


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """What the model is made of. Ablations and baselines are values here, not other classes."""

    # dual: H2Rec. hid / sid: one ID space alone. sum / concat: both in one branch, without views.
    branches: str = choice("dual", "hid", "sid", "sum", "concat")
    backbone: str = choice("sasrec", "gru4rec", "bert4rec")
    shared_backbone: bool = False
    hidden_size: int = number(128, low=1)
    layers: int = number(2, low=1)
    heads: int = number(2, low=1)
    max_length: int = number(50, low=1)
    dropout: float = number(0.3, low=0.0, high=0.95)
    # Granularity views (cross-attention from SID levels to HIDs) and the gate that mixes them.
    views: bool = True
    # Each branch's backbone also reads the branch's own sequence; false is the paper's form.
    residual: bool = True
    gate: str = choice("dynamic", "static", "mean")
    gate_prior_high: float = 1.0
    gate_prior_low: float = 0.2
    sid_fusion: str = choice("mean", "sum", "concat")
    hid_start: str = choice("text", "random")
    sid_start: str = choice("codebooks", "random")
    sid_trainable: bool = True
    score: str = choice("cosine", "dot")
    # Divides the scores in the next-item loss.
    temperature: float = number(0.07, low=1e-4)
    # Slots of the score's seen part, which learns whether users come back to items; 0 leaves the part out.
    seen_slots: int = number(256, low=0)
