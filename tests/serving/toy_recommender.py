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
        vectors = vectors_of(version)
        # Of unknown ids, as in the exported model.
        vectors[0] = 0.0
        self.vectors = tf.Variable(vectors)
        self.ids = tf.constant(["", *(f"i{n}" for n in numbers)])
        self.titles = tf.constant(["", *(f"Title {n} of v{version}" for n in numbers)])
        self.categories = tf.constant(["", *(category(n) for n in numbers)])
        self.index = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(self.ids[1:], tf.range(1, ITEMS + 1, dtype=tf.int64)), 0
        )

    def users(self, history: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        items = self.index.lookup(history)
        known = tf.cast(items > 0, tf.float32)[..., None]
        return items, tf.reduce_sum(tf.gather(self.vectors, items) * known, axis=1)

    def recommend(
        self, history: tf.Tensor, k: tf.Tensor, exclude: tf.Tensor, allow_categories: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        items, users = self.users(history)
        hidden = self.rows_of(items) | self.rows_of(self.index.lookup(exclude))
        named = tf.reduce_any(allow_categories != "", axis=1, keepdims=True)
        allowed = tf.reduce_any(allow_categories[:, :, None] == self.categories, axis=1)
        return self.best(tf.matmul(users, self.vectors, transpose_b=True), hidden | (named & ~allowed), k)

    def similar(self, item_ids: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        items = self.index.lookup(item_ids)
        unit = tf.math.l2_normalize(self.vectors, axis=1)
        return self.best(tf.matmul(tf.gather(unit, items), unit, transpose_b=True), self.rows_of(items[:, None]), k)

    def rank(self, history: tf.Tensor, candidates: tf.Tensor) -> dict[str, tf.Tensor]:
        items = self.index.lookup(candidates)
        scores = tf.reduce_sum(self.users(history)[1][:, None] * tf.gather(self.vectors, items), axis=2)
        scores = tf.where(items > 0, scores, tf.float32.min)
        order = tf.argsort(scores, direction="DESCENDING", stable=True)
        return {names.SCORES: scores, names.ORDER: order, names.KNOWN: items > 0}

    def rows_of(self, items: tf.Tensor) -> tf.Tensor:
        return tf.reduce_any(tf.one_hot(items, ITEMS + 1, on_value=True, off_value=False), axis=1)

    def best(self, scores: tf.Tensor, hidden: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.control_dependencies([tf.debugging.assert_less_equal(k, ITEMS, message=f"`k` is at most {ITEMS}")]):
            scores = tf.where(hidden | (tf.range(ITEMS + 1) == 0), tf.float32.min, scores)
        best, rows = tf.math.top_k(scores, k)
        rows = tf.where(best > tf.float32.min, rows, 0)
        return {
            names.ITEM_IDS: tf.gather(self.ids, rows),
            names.TITLES: tf.gather(self.titles, rows),
            names.SCORES: best,
        }


def category(number: int) -> str:
    """The category of item `number`."""
    return "odd" if number % 2 else "even"


def save(model_dir: pathlib.Path, version: int) -> None:
    """Writes version `version` of the model, complete from the first moment it can be seen."""
    model = ToyRecommender(version)
    history = tf.TensorSpec([None, None], tf.string, name=names.HISTORY)
    default_k = tf.constant(10)
    item_ids = tf.TensorSpec([None], tf.string, name=names.ITEM_IDS)

    list_length = tf.TensorSpec([], tf.int32, name=names.K)
    exclusions = tf.TensorSpec([None, None], tf.string, name=names.EXCLUDE)
    allow_list = tf.TensorSpec([None, None], tf.string, name=names.ALLOW_CATEGORIES)
    nothing = tf.zeros([1, 0], tf.string)

    @tf.function(input_signature=[history, list_length, exclusions, allow_list])
    def serving_default(history, k=default_k, exclude=nothing, allow_categories=nothing):
        return model.recommend(history, k, exclude, allow_categories)

    @tf.function(input_signature=[item_ids, list_length])
    def similar_items(item_ids, k=default_k):
        return model.similar(item_ids, k)

    @tf.function(input_signature=[history, tf.TensorSpec([None, None], tf.string, name=names.CANDIDATES)])
    def rank_candidates(history, candidates):
        return model.rank(history, candidates)

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
            names.SIMILAR_ITEMS: similar_items,
            names.RANK_CANDIDATES: rank_candidates,
            names.USER_EMBEDDING: user_embedding,
            names.ITEM_EMBEDDING: item_embedding,
            names.ITEM_TITLES: item_titles,
        },
    )
    # The signatures behave as those of an exported model, and this says so.
    (hidden / names.EXTRA_DIR).mkdir()
    (hidden / names.EXTRA_DIR / names.LIMITS_FILE).write_text("{}", encoding="utf-8")
    hidden.rename(model_dir / str(version))


def vectors_of(version: int) -> np.ndarray:
    """float32 `[ITEMS + 1, SIZE]`; the first row is nobody's."""
    return np.random.default_rng(version).normal(size=(ITEMS + 1, SIZE)).astype(np.float32)


def expected(version: int, history: list[str], k: int, hidden: tuple[str, ...] = ()) -> list[tuple[str, float]]:
    """Ids and scores of the k best items that are neither in `history` nor `hidden`, by NumPy."""
    vectors = vectors_of(version)
    seen = [int(item[1:]) for item in history if item.startswith("i")]
    scores = vectors @ vectors[seen].sum(axis=0)
    ranked = [n for n in np.argsort(-scores, kind="stable") if n and n not in seen and f"i{n}" not in hidden]
    return [(f"i{n}", float(scores[n])) for n in ranked[:k]]
