"""Sequence backbones behind one interface: SASRec, GRU4Rec, BERT4Rec."""

from __future__ import annotations

from typing import Any

BACKBONES = ("sasrec", "gru4rec", "bert4rec")


def make_backbone(kind: str, **arguments: Any) -> Any:
    """Builds a backbone by name.

    Args:
        kind: "sasrec", "gru4rec" or "bert4rec".
        **arguments: `dimensions`, `layers`, `heads`, `dropout`, `name`.

    Raises:
        ValueError: `kind` is not known.
    """
    from h2rec_tf.backbones.gru4rec import Gru4RecBackbone
    from h2rec_tf.backbones.transformer import Bert4RecBackbone, SasRecBackbone

    classes = {"sasrec": SasRecBackbone, "gru4rec": Gru4RecBackbone, "bert4rec": Bert4RecBackbone}
    if kind not in classes:
        raise ValueError(f"`kind` must be one of {', '.join(BACKBONES)}, got '{kind}'")
    return classes[kind](**arguments)
