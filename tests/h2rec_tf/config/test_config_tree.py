"""The configuration tree: YAML in and out, and errors that give the dotted name and the remedy."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import pytest

from h2rec_tf.config import Config, SliceGateConfig
from h2rec_tf.errors import InputError


def test_defaults_round_trip(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "config.yaml")
    Config().save(path)
    assert Config.load(path) == Config()
    assert Config.from_dict(Config().to_dict()) == Config()


def test_every_field_survives_the_round_trip(tmp_path: pathlib.Path) -> None:
    """Each leaf in turn with another value than its default."""

    def other(value: Any, field: dataclasses.Field) -> Any:
        choices = field.metadata.get("choices")
        if choices:
            return (choices[-1],) if isinstance(value, tuple) else choices[-1]
        if isinstance(value, bool):
            return not value
        if isinstance(value, tuple):
            return ("a",) if "column" in field.name else (7, 3)
        if isinstance(value, dict):
            return {"model.layers": [1, 2]} if field.name == "space" else {"tail": {"min_ndcg_at_10": 0.5}}
        if isinstance(value, str):
            return "größe: #1"
        high = field.metadata.get("high")
        if high is not None and value == high:
            return field.metadata["low"]
        return value + 1 if high is None else high

    changes = {}

    def visit(tree: Any, prefix: str) -> None:
        for field in dataclasses.fields(tree):
            value = getattr(tree, field.name)
            if dataclasses.is_dataclass(value):
                visit(value, f"{prefix}{field.name}.")
            else:
                changes[f"{prefix}{field.name}"] = other(value, field)

    visit(Config(), "")
    assert len(changes) > 60
    config = Config().replace(**changes)
    config.save(str(tmp_path / "config.yaml"))
    loaded = Config.load(str(tmp_path / "config.yaml"))
    assert loaded == config
    for name, value in changes.items():
        section, *rest = name.split(".")
        found = getattr(loaded, section)
        for part in rest:
            found = getattr(found, part)
        if name == "gate.slices":
            value = {"tail": SliceGateConfig(min_ndcg_at_10=0.5)}
        assert found == value != getattr(Config(), section), name


def test_a_partial_file_keeps_the_other_defaults(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("model:\n  layers: 1\ntraining:\n  learning_rate: 1e-3\nevaluation: {ks: [1, 3]}\n")
    config = Config.load(str(path))
    assert config == Config().replace(**{"model.layers": 1, "training.learning_rate": 0.001, "evaluation.ks": (1, 3)})
    path.write_text("")
    assert Config.load(str(path)) == Config()


def test_replace_leaves_the_original() -> None:
    config = Config()
    assert config.replace(**{"model.layers": 5}).model.layers == 5
    assert config.model.layers == Config().model.layers
    assert config.replace() == config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.model.layers = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"modle": {}}, r"unknown key `modle`; did you mean `model`\?"),
        ({"model": {"hiden_size": 3}}, r"unknown key `model.hiden_size`; did you mean `hidden_size`\?"),
        ({"serving": {"qqq": 3}}, r"unknown key `serving.qqq`; known keys: seen, max_k"),
        ({"quantizer": {"rq_vae": {"epoch": 3}}}, r"unknown key `quantizer.rq_vae.epoch`; did you mean `epochs`"),
        ({"model": 3}, "`model` must be a mapping"),
        ({"model": None}, "`model` must be a mapping"),
        ({"model": {"layers": "two"}}, "`model.layers` must be of type int, got 'two'"),
        ({"model": {"layers": 1.5}}, "`model.layers` must be of type int"),
        ({"model": {"layers": True}}, "`model.layers` must be of type int"),
        ({"model": {"views": 1}}, "`model.views` must be of type bool"),
        ({"model": {"backbone": "lstm"}}, "`model.backbone` must be one of sasrec, gru4rec, bert4rec, got 'lstm'"),
        ({"model": {"dropout": 1.0}}, "`model.dropout` must be between 0.0 and 0.95, got 1.0"),
        ({"model": {"layers": 0}}, "`model.layers` must be at least 1, got 0"),
        ({"training": {"learning_rate": float("nan")}}, "`training.learning_rate` must be at least"),
        ({"evaluation": {"ks": 10}}, "`evaluation.ks` must be a list, got 10"),
        ({"evaluation": {"ks": [1, "a"]}}, "`evaluation.ks` must be of type int, got 'a'"),
    ],
)
def test_wrong_values_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        Config.from_dict(values)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["modle.layers", "model.layer", "layers", "model.layers.deep"])
def test_replace_refuses_unknown_names(name: str) -> None:
    with pytest.raises(InputError, match="unknown key"):
        Config().replace(**{name: 1})


def test_unusable_files_are_named_with_their_line(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "config.yaml"
    with pytest.raises(InputError, match=r"config.yaml: no such config file; check the path$"):
        Config.load(str(path))
    path.write_text("model:\n  layers: [1\ntraining:\n")
    with pytest.raises(InputError, match=r"config.yaml:\d+: not valid YAML"):
        Config.load(str(path))
    path.write_text("- a\n- b\n")
    with pytest.raises(InputError, match="must be a mapping"):
        Config.load(str(path))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"config\.yaml"):
        Config.load(str(path))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"slices": ["tail"]}, "`gate.slices` must be a mapping of names to settings"),
        ({"slices": {"tail": {"min": 0.1}}}, "unknown key `gate.slices.tail.min`"),
        ({"slices": {"tail": {"min_ndcg_at_10": 2}}}, "`gate.slices.tail.min_ndcg_at_10` must be between 0.0 and 1.0"),
    ],
)
def test_settings_under_free_names_are_checked_too(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Config.from_dict({"gate": values})


def test_several_files_in_one_argument_are_told_apart():
    with pytest.raises(InputError, match=r"a\.yaml,b\.yaml: no such config file; .* repeat the option"):
        Config.load("a.yaml,b.yaml")


def test_a_file_builds_on_another_key_by_key(tmp_path: pathlib.Path) -> None:
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "first.yaml").write_text("model: {layers: 3, heads: 4}\ntraining: {epochs: 7}\n")
    (tmp_path / "common" / "second.yaml").write_text("base: first.yaml\nmodel: {heads: 1}\ntext: {dimensions: 32}\n")
    path = tmp_path / "own.yaml"
    path.write_text("base: common/second.yaml\nmodel: {hidden_size: 16}\ntext: {dimensions: 64}\n")
    expected = {"layers": 3, "heads": 1, "hidden_size": 16}
    config = Config.load(str(path))
    assert config == Config().replace(
        **{f"model.{key}": value for key, value in expected.items()}, **{"training.epochs": 7, "text.dimensions": 64}
    )
    # What is saved is whole.
    config.save(str(path))
    (tmp_path / "common" / "second.yaml").unlink()
    assert Config.load(str(path)) == config


def test_bases_that_lead_nowhere_are_refused(tmp_path: pathlib.Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("base: second.yaml\n")
    with pytest.raises(InputError, match=r"second.yaml: no such config file"):
        Config.load(str(first))
    second.write_text(f"base: ../{tmp_path.name}/first.yaml\n")
    with pytest.raises(InputError, match=r"first.yaml: `base` leads back to .*first.yaml"):
        Config.load(str(first))
    second.write_text("- model\n")
    with pytest.raises(InputError, match=r"second.yaml: must hold a mapping of sections, got \['model'\]"):
        Config.load(str(first))
    first.write_text("base: [second.yaml]\n")
    with pytest.raises(
        InputError, match=r"first.yaml: `base` must be the name of a config file, got \['second.yaml'\]"
    ):
        Config.load(str(first))


@pytest.mark.parametrize("value", [True, False])
def test_an_earlier_switch_is_passed_over_and_its_successor_named(
    value: bool, caplog: pytest.LogCaptureFixture
) -> None:
    found = Config.from_dict({"evaluation": {"exclude_seen": value, "seed": 3}, "serving": {"seen": "include"}})
    assert found == Config().replace(**{"evaluation.seed": 3, "serving.seen": "include"})
    (message,) = caplog.messages
    assert f"`evaluation.exclude_seen: {str(value).lower()}`" in message and "`serving.seen`" in message
