"""The serving signatures: names and shapes that clients rely on."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from h2rec_tf import names
from h2rec_tf.export.serving_model import ServingModel
from h2rec_tf.metrics.protocol import EXCLUDE
from h2rec_tf.models.cold_items import ColdItems


def serving_signatures(model: ServingModel) -> dict[str, Any]:
    """Functions on strings over a serving model.

    Inputs that a request may leave out have a default in the signature: `k` is 10, `exclude` and `allow_categories` are
    one empty row. `allow_categories` is there only where the catalogue has categories.

    - `serving_default`: `history` string `[B, T]`, `k` int32 scalar, `exclude` string `[B or 1, E]`,
      `allow_categories` string `[B or 1, C]` -> as `ServingModel.recommend`.
    - `serve_examples`: `examples` string `[B]`, serialized tf.Example with the features `history` and, not required,
      `exclude` and `allow_categories`; `k` -> the same.
    - `similar_items`: `item_ids` string `[B]`, `k` -> as `ServingModel.similar`.
    - `rank_candidates`: `history`, `candidates` string `[B, C]` -> as `ServingModel.rank`.
    - `user_embedding`: `history` -> `embedding` float32 `[B, D]` and `learned_embedding` float32 `[B, d]`, the same
      without the seen part, and `seen_excluded` bool `[B]`: whether lists leave out items of the history. Inner
      products of `learned_embedding` rank items as `serving_default` does where they are left out, those of
      `embedding`, which also tell seen items from others, where they are not.
    - `item_embedding`: `item_ids` -> both embeddings likewise; zeros for unknown ids.
    - `item_titles`: `item_ids` -> `titles` string `[B]`; "" for unknown ids.
    - `cold_item_embedding`: `vectors` float32 `[B, D_x]`, text vectors of items that are not in the catalogue ->
      both embeddings and `codes` int32 `[B, L]`; there only with `model.cold_items`.
    """
    strings = tf.TensorSpec([None], tf.string)
    histories = tf.TensorSpec([None, None], tf.string, name=names.HISTORY)
    list_length = tf.TensorSpec([], tf.int32, name=names.K)
    exclusions = tf.TensorSpec([None, None], tf.string, name=names.EXCLUDE)
    allow_list = tf.TensorSpec([None, None], tf.string, name=names.ALLOW_CATEGORIES)
    default_k = tf.constant(min(10, model.max_k), tf.int32)
    nothing = tf.zeros([1, 0], tf.string)

    def recommend(
        history: tf.Tensor, k: tf.Tensor, exclude: tf.Tensor, allow_categories: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        return model.recommend(
            model.indices(history), k, exclude=model.indices(exclude), allow_categories=allow_categories
        )

    if model.categories is None:

        @tf.function(input_signature=[histories, list_length, exclusions])
        def serving_default(
            history: tf.Tensor, k: tf.Tensor = default_k, exclude: tf.Tensor = nothing
        ) -> dict[str, tf.Tensor]:
            return recommend(history, k, exclude)

    else:

        @tf.function(input_signature=[histories, list_length, exclusions, allow_list])
        def serving_default(
            history: tf.Tensor,
            k: tf.Tensor = default_k,
            exclude: tf.Tensor = nothing,
            allow_categories: tf.Tensor = nothing,
        ) -> dict[str, tf.Tensor]:
            return recommend(history, k, exclude, allow_categories)

    @tf.function(input_signature=[strings, list_length])
    def serve_examples(examples: tf.Tensor, k: tf.Tensor = default_k) -> dict[str, tf.Tensor]:
        features = (names.HISTORY, names.EXCLUDE, names.ALLOW_CATEGORIES)
        parsed = tf.io.parse_example(examples, {feature: tf.io.VarLenFeature(tf.string) for feature in features})
        history, exclude, allow = (tf.sparse.to_dense(parsed[feature], default_value="") for feature in features)
        return recommend(history, k, exclude, None if model.categories is None else allow)

    @tf.function(input_signature=[strings, list_length])
    def similar_items(item_ids: tf.Tensor, k: tf.Tensor = default_k) -> dict[str, tf.Tensor]:
        return model.similar(model.indices(item_ids), k)

    @tf.function(input_signature=[histories, tf.TensorSpec([None, None], tf.string, name=names.CANDIDATES)])
    def rank_candidates(history: tf.Tensor, candidates: tf.Tensor) -> dict[str, tf.Tensor]:
        return model.rank(model.indices(history), model.indices(candidates))

    @tf.function(input_signature=[histories])
    def user_embedding(history: tf.Tensor) -> dict[str, tf.Tensor]:
        vectors = model.user_vectors(model.indices(history))
        return {
            names.EMBEDDING: vectors,
            names.LEARNED_EMBEDDING: vectors[:, : model.learned_size],
            names.SEEN_EXCLUDED: tf.fill(tf.shape(history)[:1], model.seen == EXCLUDE),
        }

    @tf.function(input_signature=[strings])
    def item_embedding(item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        items = model.indices(item_ids)
        return {
            names.EMBEDDING: model.item_vectors(items),
            names.LEARNED_EMBEDDING: model.learned_item_vectors(items),
        }

    @tf.function(input_signature=[strings])
    def item_titles(item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        return {names.TITLES: model.item_titles(model.indices(item_ids))}

    signatures = {
        names.SERVING_DEFAULT: serving_default,
        names.SERVE_EXAMPLES: serve_examples,
        names.SIMILAR_ITEMS: similar_items,
        names.RANK_CANDIDATES: rank_candidates,
        names.USER_EMBEDDING: user_embedding,
        names.ITEM_EMBEDDING: item_embedding,
        names.ITEM_TITLES: item_titles,
    }
    if model.cold_items is not None:
        signatures[names.COLD_ITEM_EMBEDDING] = _cold_item_embedding(model.cold_items, model.learned_size)
    return signatures


def _cold_item_embedding(cold_items: ColdItems, learned_size: int) -> Any:
    @tf.function(input_signature=[tf.TensorSpec([None, cold_items.dimensions], tf.float32, name=names.VECTORS)])
    def cold_item_embedding(vectors: tf.Tensor) -> dict[str, tf.Tensor]:
        codes = cold_items.codes(vectors)
        found = cold_items.vectors(codes)
        return {names.EMBEDDING: found, names.LEARNED_EMBEDDING: found[:, :learned_size], names.CODES: codes}

    return cold_item_embedding
