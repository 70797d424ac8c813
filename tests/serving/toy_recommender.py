"""A tiny SavedModel with the signatures of the exported one, whose answers follow from a few lines of NumPy."""

import pathlib

import numpy as np
import tensorflow as tf

from h2rec_tf import names

ITEMS = 12
SIZE = 4


class ToyRecommender(tf.Module):
    """Users are sums of item vectors; the item ids and titles carry the version, so that a swap can be seen."""

    def __init__(self, version: int) -> None:
        super().__init__()
        numbers = range(1, ITEMS + 1)
        vectors = np.random.default_rng(version).normal(size=(ITEMS + 1, SIZE)).astype(np.float32)
        # Of unknown ids, as in the exported model.
        vectors[0] = 0.0
        self.vectors = tf.Variable(vectors)
        self.ids = tf.constant(["", *(f"i{n}" for n in numbers)])
        self.titles = tf.constant(["", *(f"Title {n} of v{version}" for n in numbers)])
        self.index = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(self.ids[1:], tf.range(1, ITEMS + 1, dtype=tf.int64)), 0
        )

    def users(self, history: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        items = self.index.lookup(history)
        known = tf.cast(items > 0, tf.float32)[..., None]
        return items, tf.reduce_sum(tf.gather(self.vectors, items) * known, axis=1)

    def recommend(self, history: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.control_dependencies([tf.debugging.assert_less_equal(k, ITEMS, message=f"`k` is at most {ITEMS}")]):
            items, users = self.users(history)
        scores = tf.matmul(users, self.vectors, transpose_b=True)
        hidden = tf.reduce_any(tf.one_hot(items, ITEMS + 1, on_value=True, off_value=False), axis=1)
        hidden = hidden | (tf.range(ITEMS + 1) == 0)
        scores = tf.where(hidden, tf.float32.min, scores)
        best, rows = tf.math.top_k(scores, k)
        rows = tf.where(best > tf.float32.min, rows, 0)
        return {
            names.ITEM_IDS: tf.gather(self.ids, rows),
            names.TITLES: tf.gather(self.titles, rows),
            names.SCORES: best,
        }


def save(model_dir: pathlib.Path, version: int) -> None:
    """Writes version `version` of the model, complete from the first moment it can be seen."""
    model = ToyRecommender(version)
    history = tf.TensorSpec([None, None], tf.string, name=names.HISTORY)
    default_k = tf.constant(10)
    item_ids = tf.TensorSpec([None], tf.string, name=names.ITEM_IDS)

    @tf.function(input_signature=[history, tf.TensorSpec([], tf.int32, name=names.K)])
    def serving_default(history, k=default_k):
        return model.recommend(history, k)

    @tf.function(input_signature=[history])
    def user_embedding(history):
        return {names.EMBEDDING: model.users(history)[1]}

    @tf.function(input_signature=[item_ids])
    def item_embedding(item_ids):
        return {names.EMBEDDING: tf.gather(model.vectors, model.index.lookup(item_ids))}

    @tf.function(input_signature=[item_ids])
    def item_titles(item_ids):
        return {names.TITLES: tf.gather(model.titles, model.index.lookup(item_ids))}

    hidden = model_dir / f"writing-{version}"
    tf.saved_model.save(
        model,
        str(hidden),
        signatures={
            names.SERVING_DEFAULT: serving_default,
            names.USER_EMBEDDING: user_embedding,
            names.ITEM_EMBEDDING: item_embedding,
            names.ITEM_TITLES: item_titles,
        },
    )
    hidden.rename(model_dir / str(version))


def expected(version: int, history: list[str], k: int) -> list[tuple[str, float]]:
    """Ids and scores of the k best items, by NumPy."""
    vectors = np.random.default_rng(version).normal(size=(ITEMS + 1, SIZE)).astype(np.float32)
    seen = [int(item[1:]) for item in history if item.startswith("i")]
    scores = vectors @ vectors[seen].sum(axis=0)
    ranked = [n for n in np.argsort(-scores, kind="stable") if n and n not in seen]
    return [(f"i{n}", float(scores[n])) for n in ranked[:k]]
