"""From configuration to model: the one place where parts are put together."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from h2rec_tf.config import LossConfig, ModelConfig
from h2rec_tf.data.sequences import Sequences
from h2rec_tf.errors import InputError
from h2rec_tf.models.h2rec import H2Rec
from h2rec_tf.models.neighbours import cooccurrence_neighbours, joined, text_neighbours
from h2rec_tf.models.slots import assign_slots


def build_model(
    *,
    model: ModelConfig,
    loss: LossConfig,
    codes: np.ndarray,
    codebooks: np.ndarray,
    vectors: np.ndarray,
    train: Sequences | None,
    seed: int = 0,
) -> H2Rec:
    """Builds an untrained model with all its variables.

    Args:
        model: what the model is made of.
        loss: what it is trained with.
        codes: int `[N, L]`, row r is item index r + 1.
        codebooks: float `[L, K, d_c]`.
        vectors: float `[N, D]` item text vectors.
        train: the training split; gives item frequencies and neighbourhoods. None builds the frame for weights that
            are loaded afterwards: the same variables, without what only training reads.
        seed: of start values and draws.

    Returns:
        The model, built.

    Raises:
        InputError: `heads` does not divide `hidden_size`, or a teacher for a loss that is no softmax.
    """
    if model.hidden_size % model.heads:
        raise InputError(
            f"config: `model.hidden_size` {model.hidden_size} must be a multiple of `model.heads` {model.heads}"
        )
    if loss.teacher and loss.next_item == "bce":
        raise InputError(
            "config: `loss.teacher` needs a softmax; set it to 0 with `loss.next_item: bce`, or choose full_softmax"
        )
    import tensorflow as tf
    import tf_keras as keras

    from h2rec_tf.layers.encoders import DualBranchEncoder, SingleBranchEncoder
    from h2rec_tf.layers.hash_id_embedding import HashIdEmbedding
    from h2rec_tf.layers.seen_slots import SeenSlots
    from h2rec_tf.layers.semantic_id_embedding import SemanticIdEmbedding
    from h2rec_tf.layers.starts import codebook_tables, text_rows
    from h2rec_tf.losses.neighbour_teacher import NeighbourTeacher
    from h2rec_tf.losses.next_item import NextItemLoss
    from h2rec_tf.losses.user_alignment import UserAlignment

    keras.utils.set_random_seed(seed)
    num_items, levels = codes.shape
    events = train
    if events is None:
        events = dataclasses.replace(Sequences.from_lists([]), timestamps=np.zeros(0, np.int64))
    frequencies = np.bincount(events.items, minlength=num_items + 1)
    has_hid, has_sid = model.branches != "sid", model.branches != "hid"
    hash_ids = None
    if has_hid:
        start = text_rows(vectors, model.hidden_size) if model.hid_start == "text" else None
        hash_ids = HashIdEmbedding(num_items, model.hidden_size, start=start, seed=seed, name="hash_ids")
    semantic_ids = None
    if has_sid:
        tables = None
        num_codes = int(max(codebooks.shape[1], codes.max(initial=0) + 1))
        if model.sid_start == "codebooks":
            tables = np.zeros((levels, num_codes, model.hidden_size), np.float32)
            # A disambiguation digit has no codebook; its table starts at zero.
            tables[: codebooks.shape[0], : codebooks.shape[1]] = codebook_tables(
                codebooks, model.hidden_size, vectors=vectors
            )
        semantic_ids = SemanticIdEmbedding(
            codes,
            num_codes,
            model.hidden_size,
            start=tables,
            fusion=model.sid_fusion,
            trainable_tables=model.sid_trainable,
            seed=seed,
            name="semantic_ids",
        )
    shared: dict[str, Any] = {
        "backbone": model.backbone,
        "layers": model.layers,
        "heads": model.heads,
        "dropout": model.dropout,
        "name": "encoder",
    }
    # Room for the mask token that a bidirectional backbone appends.
    positions = model.max_length + 1
    with_users = model.branches == "dual" and model.views and loss.user_alignment > 0
    if model.branches == "dual":
        encoder = DualBranchEncoder(
            model.hidden_size,
            levels,
            positions,
            shared_backbone=model.shared_backbone,
            views=model.views,
            gate=model.gate,
            prior_high=model.gate_prior_high,
            prior_low=model.gate_prior_low,
            mask_strategy=loss.mask_strategy,
            mask_ratio=loss.mask_ratio,
            residual=model.residual,
            **shared,
        )
    else:
        encoder = SingleBranchEncoder(model.hidden_size, positions, **shared)
    near = None
    if train is not None and (model.seen_slots or loss.teacher):
        near = joined(
            cooccurrence_neighbours(train, num_items, top=loss.teacher_neighbours),
            text_neighbours(vectors, codes, top=loss.teacher_neighbours),
            second_share=loss.teacher_text,
        )
    seen = None
    if model.seen_slots:
        count = min(model.seen_slots, num_items)
        slots = np.zeros(num_items, np.int32) if near is None else assign_slots(near[0], frequencies, num_slots=count)
        seen = SeenSlots(slots, count, name="seen")
    teacher = None
    if near is not None and loss.teacher:
        teacher = NeighbourTeacher(
            neighbours=near[0],
            weights=near[1],
            last=loss.teacher_last,
            decay=loss.teacher_decay,
            samples=loss.teacher_samples,
            seed=seed,
            name="teacher",
        )
    with_items = has_hid and has_sid and loss.item_alignment > 0
    built = H2Rec(
        encoder=encoder,
        branches=model.branches,
        hash_ids=hash_ids,
        semantic_ids=semantic_ids,
        cosine=model.score == "cosine",
        next_item=NextItemLoss(
            loss.next_item,
            frequencies=frequencies,
            negatives=loss.negatives,
            temperature=model.temperature,
            seed=seed,
            name="next_item",
        ),
        item_alignment=_item_alignment(loss, codes, events, num_items, seed) if with_items else None,
        item_alignment_weight=loss.item_alignment,
        user_alignment=UserAlignment(temperature=loss.user_temperature, name="user_alignment") if with_users else None,
        user_alignment_weight=loss.user_alignment,
        seen=seen,
        teacher=teacher,
        teacher_share=loss.teacher,
        seed=seed,
        name="h2rec",
    )

    def dry_run() -> None:
        # Two positions: of one alone the in-batch loss would warn.
        built.compute_loss(tf.ones([1, 3], tf.int32))
        built(tf.ones([1, 1], tf.int32))

    # Creates every variable before a checkpoint or an optimizer asks for them, on every replica.
    tf.distribute.get_strategy().run(dry_run)
    for metric in built.metrics:
        metric.reset_state()
    return built


def _item_alignment(loss: LossConfig, codes: np.ndarray, train: Sequences, num_items: int, seed: int) -> Any:
    from h2rec_tf.data.cooccurrence import cooccurrence
    from h2rec_tf.losses.item_alignment import ItemAlignment, code_groups, code_order

    neighbours = np.zeros((num_items + 1, 0), np.int32)
    weights = np.zeros((num_items + 1, 0), np.float32)
    if loss.cooccurrence_positives:
        lists = cooccurrence(
            train,
            num_items,
            window=loss.cooccurrence_window,
            time_scale=loss.cooccurrence_time_scale,
            top=loss.cooccurrence_positives,
        )
        neighbours, weights = lists.items, lists.weights
    return ItemAlignment(
        neighbours=neighbours,
        weights=weights,
        groups=code_groups(codes) if loss.code_positives else None,
        temperature=loss.item_temperature,
        hard_negatives=loss.hard_negatives,
        code_order=code_order(codes) if loss.hard_negatives else None,
        seed=seed,
        name="item_alignment",
    )
