"""A SavedModel that is no recommender: inputs of every rank, scalars beside rows, names that mean other things here.

Every answer of a row follows from that row and what the request says for all of them, by ops that round the same way
whatever the number of rows.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

REAL, WHOLE, TEXT = tf.float32, tf.int64, tf.string
Inputs = dict[str, np.ndarray]


def texts(rows) -> np.ndarray:
    array = np.empty(np.shape(rows), object)
    array[...] = rows
    return array


def save(model_dir: pathlib.Path, version: int = 1) -> None:
    """Writes the model."""
    two_rows, nothing = tf.constant([[1.0], [2.0]]), tf.zeros([1, 0], TEXT)

    def function(*specs):
        return tf.function(input_signature=[tf.TensorSpec(shape, kind, name=name) for name, shape, kind in specs])

    @function(("a", [None], REAL), ("b", [None], WHOLE))
    def vectors(a, b):
        return {"sum": a + tf.cast(b, REAL), "b": b}

    @function(("x", [None, None], REAL), ("scale", [], REAL), ("label", [], TEXT), ("reverse", [], tf.bool))
    def scalars(x, scale, label, reverse):
        labels = tf.fill(tf.shape(x)[:1], label)
        return {"y": tf.where(reverse, x[:, ::-1], x) / scale, "label": labels}

    @function(("x", [None, None], REAL), ("lengths", [None], WHOLE))
    def lengths(x, lengths):
        return {"y": tf.where(tf.sequence_mask(lengths, tf.shape(x)[1]), x, 0.0)}

    @function(("x", [None, None, None], WHOLE), ("shift", [None, None, None], WHOLE))
    def cubes(x, shift):
        return {"total": tf.reduce_sum(x, axis=[1, 2]), "first": x[:, 0] + shift[:, 0]}

    @function(("x", [None, None], TEXT), ("y", [None, None], TEXT))
    def words(x, y):
        return {"joined": tf.strings.reduce_join(x, axis=1, separator="|"), "y": y}

    @function(("history", [None, None], TEXT), ("exclude", [None, None], TEXT))
    def history(history, exclude=nothing):
        # Neither `history` nor `exclude` is a recommender's here: "" counts.
        lists = tf.strings.reduce_join(history, axis=1, separator="|")
        return {"joined": lists + tf.strings.as_string(tf.shape(exclude)[1])}

    @function(("k", [], REAL), ("x", [None], REAL))
    def k_of_another_kind(k, x):
        return {"y": x * k}

    @function(("x", [2, None], REAL))
    def two(x):
        return {"y": tf.reduce_sum(tf.reshape(x, [2, -1]), axis=1)[: tf.size(x)]}

    @function(("x", None, REAL), ("y", [None, None], REAL))
    def any_rank(x, y):
        return {"z": y + tf.reduce_max(x)}

    @function(("x", [None, None], REAL), ("bias", [None, None], REAL))
    def defaults(x, bias=two_rows):
        return {"y": x + bias}

    @function(("x", [None], TEXT))
    def one_answer(x):
        return {"all": tf.strings.reduce_join(x), "number": tf.size(x)}

    @function(("x", [None], REAL))
    def unserved_output(x):
        return {"y": tf.cast(x, tf.bfloat16)}

    @function(("x", [None], tf.float16))
    def unserved_input(x):
        return {"y": tf.cast(x, REAL)}

    @function(("x", [None], TEXT))
    def numbers(x):
        return {"y": tf.strings.to_number(x)}

    @function(("examples", [None], TEXT))
    def examples(examples):
        parsed = tf.io.parse_example(
            examples, {"words": tf.io.VarLenFeature(TEXT), "numbers": tf.io.VarLenFeature(WHOLE)}
        )
        return {
            "words": tf.strings.reduce_join(tf.sparse.to_dense(parsed["words"], default_value=""), axis=1),
            "total": tf.reduce_sum(tf.sparse.to_dense(parsed["numbers"]), axis=1),
        }

    signatures = {
        "vectors": vectors, "scalars": scalars, "lengths": lengths, "cubes": cubes, "words": words, "history": history,
        "k": k_of_another_kind, "two": two, "any_rank": any_rank, "defaults": defaults, "one_answer": one_answer,
        "unserved_output": unserved_output, "unserved_input": unserved_input, "examples": examples,
        "numbers": numbers,
    }  # fmt: skip
    tf.saved_model.save(tf.Module(), str(model_dir / str(version)), signatures=signatures)


def serialized(words: list[bytes], numbers: list[int]) -> bytes:
    """A tf.Example for `examples`."""
    feature = {
        "words": tf.train.Feature(bytes_list=tf.train.BytesList(value=words)),
        "numbers": tf.train.Feature(int64_list=tf.train.Int64List(value=numbers)),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def requests() -> dict[str, Callable[[np.random.Generator], Inputs]]:
    """A maker of random requests for each signature; few sizes, so that those of one size meet."""

    def size(generator, least=1):
        return int(generator.integers(least, 4))

    def floats(generator, *shape):
        return generator.normal(size=shape).astype(np.float32)

    def whole(generator, *shape):
        return generator.integers(-9, 9, shape)

    def strings(generator, *shape):
        return texts(generator.choice([b"", b"a", b"\xffb", b"ccc"], shape).astype(object))

    def vectors(generator):
        rows = size(generator, 0)
        return {"a": floats(generator, rows), "b": whole(generator, rows)}

    def scalars(generator):
        return {
            # Few sizes, so that requests differ in nothing but the others.
            "x": floats(generator, size(generator), int(generator.integers(1, 3))),
            # 1/0.0 is not 1/-0.0, though they are equal.
            "scale": np.asarray(generator.choice([0.0, -0.0, 2.0]), np.float32),
            "label": texts(b"one" if generator.random() < 0.8 else b"two"),
            "reverse": np.asarray(generator.random() < 0.2),
        }

    def lengths(generator):
        rows, columns = size(generator), size(generator)
        return {"x": floats(generator, rows, columns), "lengths": generator.integers(0, 3, rows)}

    def cubes(generator):
        shape = size(generator, 0), size(generator), size(generator)
        return {"x": whole(generator, *shape), "shift": whole(generator, *shape)}

    def words(generator):
        rows = size(generator)
        return {
            "x": strings(generator, rows, size(generator)),
            "y": strings(generator, rows, size(generator, 0)),
        }

    def history(generator):
        found = {"history": strings(generator, size(generator), size(generator, 0))}
        if generator.random() < 0.5:
            found["exclude"] = strings(generator, len(found["history"]), size(generator, 0))
        return found

    def k(generator):
        return {
            "k": np.asarray(generator.choice([-1.5, 2e9]), np.float32),
            "x": floats(generator, size(generator)),
        }

    def any_rank(generator):
        shape = [(), (2,), (1, 3)][int(generator.integers(3))]
        return {"x": floats(generator, *shape), "y": floats(generator, size(generator), size(generator))}

    def defaults(generator):
        if generator.random() < 0.5:
            return {"x": floats(generator, 2, size(generator))}
        rows, columns = size(generator), size(generator)
        return {"x": floats(generator, rows, columns), "bias": floats(generator, rows, columns)}

    def examples(generator):
        rows = [
            serialized([b"a"] * int(generator.integers(0, 100)), [1] * int(generator.integers(0, 3)))
            for _ in range(size(generator))
        ]
        return {"examples": texts(rows)}

    return {
        "vectors": vectors, "scalars": scalars, "lengths": lengths, "cubes": cubes, "words": words, "history": history,
        "k": k, "any_rank": any_rank, "defaults": defaults, "examples": examples,
        "two": lambda generator: {"x": floats(generator, 2, size(generator))},
        "one_answer": lambda generator: {"x": strings(generator, size(generator))},
    }  # fmt: skip
