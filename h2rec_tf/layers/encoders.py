"""Sequence encoders: one branch (baselines) or H2Rec's two (design: dual branch)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from h2rec_tf.backbones import make_backbone
from h2rec_tf.layers.attention import AttentionBlock, attention_mask
from h2rec_tf.layers.granularity_gate import GranularityGate
from h2rec_tf.layers.granularity_mask import GranularityMask
from h2rec_tf.layers.positions import PositionedInput


@keras.utils.register_keras_serializable("h2rec_tf")
class SingleBranchEncoder(keras.layers.Layer):
    """Positions and one backbone over one sequence of vectors: SASRec, GRU4Rec and BERT4Rec as published.

    Args:
        dimensions: d.
        max_length: rows of the position table.
        backbone: "sasrec", "gru4rec" or "bert4rec".
        layers: backbone layers.
        heads: attention heads.
        dropout: share dropped in training.
    """

    def __init__(
        self,
        dimensions: int,
        max_length: int,
        *,
        backbone: str = "sasrec",
        layers: int = 2,
        heads: int = 2,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._arguments = {
            "dimensions": dimensions,
            "max_length": max_length,
            "backbone": backbone,
            "layers": layers,
            "heads": heads,
            "dropout": dropout,
        }
        self._position = PositionedInput(max_length, dimensions, dropout=dropout, name="position")
        self._backbone = make_backbone(
            backbone, dimensions=dimensions, layers=layers, heads=heads, dropout=dropout, name="backbone"
        )

    @property
    def causal(self) -> bool:
        """True where position t reads positions <= t only."""
        return self._backbone.causal

    def call(self, inputs: tf.Tensor, *, real: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """`[B, T, d]` item vectors and bool `[B, T]` (False pads) -> `[B, T, d]`, zeros at padding."""
        return self._backbone(self._position(inputs, real=real, training=training), real=real, training=training)

    def get_config(self) -> dict[str, Any]:
        """All constructor arguments."""
        return {**super().get_config(), **self._arguments}


@keras.utils.register_keras_serializable("h2rec_tf")
class DualBranchEncoder(keras.layers.Layer):
    """H2Rec's two branches over a HID and a SID sequence (design: dual branch).

    HID branch: each SID level queries the HID sequence (granularity view), the gate mixes the L views at each
    position, the backbone turns the mixture into `u^H`. SID branch: the HID sequence queries the fused SID sequence,
    the backbone gives `u^S`. All cross-attention follows the backbone's direction of time. With `residual` each
    backbone also reads its own branch's sequence: cross-attention alone carries the other space's vectors past it, so
    that `u^H`, which is compared with HIDs, would know the latest HID through attention weights only.

    Args:
        dimensions: d.
        levels: L.
        max_length: rows of the position tables.
        backbone: "sasrec", "gru4rec" or "bert4rec".
        layers: backbone layers.
        heads: attention heads.
        dropout: share dropped in training.
        shared_backbone: one backbone's weights for both branches.
        views: False feeds the HID branch with the HID sequence itself (ablation).
        gate: "dynamic", "static" or "mean".
        prior_high: gate prior of the coarsest level.
        prior_low: gate prior of the finest level.
        mask_strategy: which levels the masked view loses: "lowest", "highest" gate weight, or "random".
        mask_ratio: share of levels the masked view loses.
        residual: adds each branch's own sequence to its backbone's input; False is the paper's form.
    """

    def __init__(
        self,
        dimensions: int,
        levels: int,
        max_length: int,
        *,
        backbone: str = "sasrec",
        layers: int = 2,
        heads: int = 2,
        dropout: float = 0.0,
        shared_backbone: bool = False,
        views: bool = True,
        gate: str = "dynamic",
        prior_high: float = 1.0,
        prior_low: float = 0.2,
        mask_strategy: str = "lowest",
        mask_ratio: float = 0.5,
        residual: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._residual = residual
        self._arguments = {
            "residual": residual,
            "dimensions": dimensions,
            "levels": levels,
            "max_length": max_length,
            "backbone": backbone,
            "layers": layers,
            "heads": heads,
            "dropout": dropout,
            "shared_backbone": shared_backbone,
            "views": views,
            "gate": gate,
            "prior_high": prior_high,
            "prior_low": prior_low,
            "mask_strategy": mask_strategy,
            "mask_ratio": mask_ratio,
        }
        self.levels = levels
        self.has_views = views

        def branch(name: str) -> Any:
            return make_backbone(
                backbone, dimensions=dimensions, layers=layers, heads=heads, dropout=dropout, name=name
            )

        self._hid_position = PositionedInput(max_length, dimensions, dropout=dropout, name="hid_position")
        self._sid_position = PositionedInput(max_length, dimensions, dropout=dropout, name="sid_position")
        self._sid_cross = AttentionBlock(dimensions, heads, dropout=dropout, name="sid_cross")
        self._hid_backbone = branch("hid_backbone")
        self._sid_backbone = self._hid_backbone if shared_backbone else branch("sid_backbone")
        if views:
            self._view_cross = AttentionBlock(dimensions, heads, dropout=dropout, name="view_cross")
            self._gate = GranularityGate(
                levels, kind=gate, prior_high=prior_high, prior_low=prior_low, name="granularity_gate"
            )
            self._mask = GranularityMask(
                levels, dimensions, strategy=mask_strategy, ratio=mask_ratio, name="granularity_mask"
            )

    @property
    def causal(self) -> bool:
        """True where position t reads positions <= t only."""
        return self._hid_backbone.causal

    def call(
        self,
        inputs: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
        *,
        real: tf.Tensor,
        with_masked: bool = False,
        training: bool | None = None,
    ) -> dict[str, tf.Tensor]:
        """Encodes both sequences.

        Args:
            inputs: HID vectors `[B, T, d]`, SID views `[B, T, L, d]`, fused SID vectors `[B, T, d]`.
            real: bool `[B, T]`, False at padding.
            with_masked: also encode the masked-granularity view.
            training: switches dropout on.

        Returns:
            `hid` and `sid`: `[B, T, d]`, `u^H` and `u^S` at each position, zeros at padding. With views: `gate`
            `[B, T, L]`, and `masked` `[B, T, d]` if asked for.
        """
        hid, views, sid = inputs
        mask = attention_mask(real, causal=self.causal)
        positioned = self._hid_position(hid, real=real, training=training)
        sid_positioned = self._sid_position(sid, real=real, training=training)
        crossed = self._sid_cross(positioned, mask=mask, context=sid_positioned, training=training)
        own = sid_positioned if self._residual else 0.0
        outputs = {"sid": self._sid_backbone(crossed + own, real=real, training=training)}
        if not self.has_views:
            outputs["hid"] = self._hid_backbone(positioned, real=real, training=training)
            return outputs
        seen = self._views(views, positioned, real, mask, training)
        gate = self._gate(hid)
        outputs["gate"] = gate
        own = positioned if self._residual else 0.0
        outputs["hid"] = self._hid_backbone(_mix(seen, gate) + own, real=real, training=training)
        if with_masked:
            masked = _mix(self._mask(seen, gate=gate), gate) + own
            outputs["masked"] = self._hid_backbone(masked, real=real, training=training)
        return outputs

    def _views(
        self, views: tf.Tensor, positioned: tf.Tensor, real: tf.Tensor, mask: tf.Tensor, training: bool | None
    ) -> tf.Tensor:
        shape = tf.shape(views)
        batch, length, width = shape[0], shape[1], views.shape[-1]
        # Levels join the query axis, so that keys and values are projected once for all of them.
        queries = tf.reshape(tf.transpose(views, [0, 2, 1, 3]), [batch * self.levels, length, width])
        queries = self._sid_position(queries, real=tf.repeat(real, self.levels, axis=0), training=training)
        queries = tf.reshape(queries, [batch, self.levels * length, width])
        seen = self._view_cross(queries, mask=tf.tile(mask, [1, self.levels, 1]), context=positioned, training=training)
        return tf.transpose(tf.reshape(seen, [batch, self.levels, length, width]), [0, 2, 1, 3])

    def get_config(self) -> dict[str, Any]:
        """All constructor arguments."""
        return {**super().get_config(), **self._arguments}


def _mix(views: tf.Tensor, gate: tf.Tensor) -> tf.Tensor:
    return tf.einsum("btld,btl->btd", views, tf.cast(gate, views.dtype))
