"""Semantic IDs from catalogue to disk and back."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from h2rec_tf.atomic import atomic_directory
from h2rec_tf.config import CodebookConfig, QuantizerConfig, TextConfig
from h2rec_tf.data.sequences import Catalogue
from h2rec_tf.errors import InputError
from h2rec_tf.quantizers.codebook_gate import codebook_faults
from h2rec_tf.semantic_ids import SemanticIds, build_semantic_ids

SMALL = QuantizerConfig(levels=2, codes=4, iterations=5)


def catalogue(count=24):
    topics = ["silk scarf", "kitchen knife", "garden hose", "wool sock"]
    texts = [f"{topics[row % 4]} number{row // 4}" for row in range(count)]
    texts[5] = texts[9] = ""
    array = np.asarray(texts, object)
    return Catalogue(np.asarray([f"ïd {row}" for row in range(count)], object), array, array)


@pytest.mark.parametrize("vectors", [None, np.random.default_rng(0).normal(size=(24, 6)).astype(np.float32)])
def test_save_and_load(tmp_path, vectors):
    categories = None if vectors is None else np.asarray(["tool|garden", ""] * 12, object)
    given = dataclasses.replace(catalogue(), vectors=vectors, categories=categories)
    built = build_semantic_ids(given, quantizer=SMALL)
    directory = str(tmp_path / "ids")
    built.save(directory)
    built.save(directory)
    loaded = SemanticIds.load(directory)
    assert len(loaded) == 24
    for name in ("item_ids", "titles", "categories", "codes", "codebooks", "vectors"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(built, name))
    assert loaded.codes.dtype == np.int32 and loaded.codebooks.dtype == loaded.vectors.dtype == np.float32
    assert loaded.report.table() == built.report.table()
    np.testing.assert_array_equal(loaded.quantizer.encode(loaded.vectors), built.codes)
    assert (tmp_path / "ids" / "item_ids.txt").read_text(encoding="utf-8").splitlines() == given.item_ids.tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ids"]


def test_new_items_get_the_codes_of_equal_texts():
    given = catalogue()
    built = build_semantic_ids(given, quantizer=dataclasses.replace(SMALL, disambiguation=True))
    codes = built.encode_texts([given.texts[7], given.texts[2]])
    np.testing.assert_array_equal(codes[:, :2], built.codes[[7, 2], :2])
    assert codes.shape == (2, 3) and not codes[:, 2].any()
    with_vectors = build_semantic_ids(dataclasses.replace(given, vectors=built.vectors), quantizer=SMALL)
    np.testing.assert_array_equal(with_vectors.encode_vectors(3 * built.vectors), with_vectors.codes)
    with pytest.raises(InputError, match="vectors, not texts"):
        with_vectors.encode_texts(["x"])


def test_items_without_text_share_one_tuple_which_a_digit_separates():
    built = build_semantic_ids(catalogue(), quantizer=SMALL)
    assert built.report.empty_vectors == 2
    np.testing.assert_array_equal(built.codes[5], built.codes[9])
    wide = build_semantic_ids(catalogue(), quantizer=dataclasses.replace(SMALL, disambiguation=True))
    np.testing.assert_array_equal(wide.codes[:, :2], built.codes)
    assert wide.codebooks.shape == (3, 4, wide.vectors.shape[1]) and not wide.codebooks[2].any()
    assert wide.codes.max() < 4


def test_seeds_and_normalisation():
    first, second = (build_semantic_ids(catalogue(), quantizer=SMALL, seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.codes, second.codes)
    vectors = np.random.default_rng(0).normal(size=(24, 6)).astype(np.float32)
    built = build_semantic_ids(dataclasses.replace(catalogue(), vectors=vectors), quantizer=SMALL)
    np.testing.assert_allclose(np.linalg.norm(built.vectors, axis=1), 1.0, rtol=1e-5)


def test_the_cache_is_used(tmp_path):
    text = TextConfig(cache_dir=str(tmp_path))
    first = build_semantic_ids(catalogue(), text=text, quantizer=SMALL)
    assert len(list(tmp_path.iterdir())) == 1
    second = build_semantic_ids(catalogue(), text=text, quantizer=SMALL)
    np.testing.assert_array_equal(first.vectors, second.vectors)
    np.testing.assert_array_equal(second.encode_texts(catalogue().texts.tolist()), second.codes)


def test_unusable_input_is_named(tmp_path):
    empty = np.empty(0, object)
    with pytest.raises(InputError, match="empty"):
        build_semantic_ids(Catalogue(empty, empty, empty))
    broken = catalogue()
    broken.item_ids[3] = "a\nb"
    with pytest.raises(InputError, match="row 3"):
        build_semantic_ids(broken)
    with pytest.raises(InputError, match="semantic-ids build"):
        SemanticIds.load(str(tmp_path))


def test_a_failed_write_leaves_the_earlier_directory(tmp_path):
    with atomic_directory(str(tmp_path / "out")) as path:
        (path / "file").write_text("first")
    with pytest.raises(RuntimeError), atomic_directory(str(tmp_path / "out")) as path:
        (path / "file").write_text("second")
        raise RuntimeError
    assert (tmp_path / "out" / "file").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with pytest.raises(InputError, match="would be lost"), atomic_directory(str(tmp_path / "out"), marker="m"):
        pass
    with pytest.raises(InputError, match="is a file"), atomic_directory(str(tmp_path / "out" / "file")):
        pass
    (tmp_path / "empty").mkdir()
    with atomic_directory(str(tmp_path / "empty")) as path:
        (path / "file").write_text("third")
    assert (tmp_path / "empty" / "file").read_text() == "third"


def test_the_command_builds_and_reports(tmp_path):
    from click.testing import CliRunner

    from h2rec_tf.cli.semantic_ids import semantic_ids

    items = tmp_path / "items.csv"
    items.write_text("item_id,title\n" + "".join(f"i{row},silk scarf {row % 5}\n" for row in range(12)))
    output = str(tmp_path / "ids")
    arguments = ["build", "--items", str(items), "--output", output, "--levels", "2", "--codes", "4"]
    result = CliRunner().invoke(semantic_ids, arguments, catch_exceptions=False)
    assert result.exit_code == 0 and "12 items" in result.output
    loaded = SemanticIds.load(output)
    assert loaded.codes.shape == (12, 2) and loaded.codes.max() < 4
    shown = CliRunner().invoke(semantic_ids, ["report", output], catch_exceptions=False).output
    assert shown.strip() in result.output
    as_json = CliRunner().invoke(semantic_ids, ["report", output, "--json"], catch_exceptions=False).output
    assert json.loads(as_json)["items"] == 12


def test_the_command_imports_nothing_heavy():
    """`--help` must not wait for TensorFlow, scikit-learn or matplotlib."""
    code = "import sys, h2rec_tf.cli.semantic_ids; print({'tensorflow', 'sklearn', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("items", [1, 30, 300, 700])
def test_the_defaults_suit_small_catalogues(items):
    generator = np.random.default_rng(items)
    words = np.asarray([f"word{number}" for number in range(60)])
    texts = np.asarray([" ".join(generator.choice(words[row % 6 :: 6], 4)) for row in range(items)], object)
    ids = np.asarray([f"item {row}" for row in range(items)], object)
    built = build_semantic_ids(Catalogue(ids, texts, texts))
    assert codebook_faults(built.report, CodebookConfig()) == []
    assert built.report.codes <= max(2, items // 4)
