"""Tables and dictionaries of results."""

import json
import math

import numpy as np
import pytest

from h2rec_tf.errors import InputError
from h2rec_tf.metrics.result import Evaluation, compare_table


def result(ranks, protocol="full", **lists):
    ranks = np.asarray(ranks)
    head = np.arange(len(ranks)) % 2 == 0
    masks = {"overall": np.ones(len(ranks), bool), "head": head, "tail": ~head, "cold": np.zeros(len(ranks), bool)}
    return Evaluation(protocol=protocol, ranks=ranks, slices=masks, ks=(1, 2), lists={"coverage@10": 0.5, **lists})


def test_metric_by_hand():
    evaluation = result([1, 2, 4, 1])
    assert evaluation.metric("users") == 4
    assert evaluation.metric("hr@1") == 0.5
    assert evaluation.metric("hr@2", "head") == 0.5
    assert evaluation.metric("ndcg@2", "tail") == pytest.approx((1 / math.log2(3) + 1) / 2)
    assert evaluation.metric("mrr") == pytest.approx((1 + 0.5 + 0.25 + 1) / 4)
    assert evaluation.metric("coverage@10") == 0.5
    assert math.isnan(evaluation.metric("hr@1", "cold"))
    assert evaluation.metric("users", "cold") == 0


@pytest.mark.parametrize(
    ("metric", "slice_name", "message"),
    [("hr@3", "overall", "no metric 'hr@3'"), ("hr@1", "heads", "no slice 'heads'"), ("coverage@10", "head", "metric")],
)
def test_unknown_names_are_refused(metric, slice_name, message):
    with pytest.raises(InputError, match=message):
        result([1, 2]).metric(metric, slice_name)


def test_dictionary_is_json_and_has_null_for_empty_slices():
    values = json.loads(json.dumps(result([1, 2, 4, 1]).to_dict(), allow_nan=False))
    assert values["protocol"] == "full"
    assert values["lists"] == {"coverage@10": 0.5}
    assert values["slices"]["overall"]["hr@1"] == 0.5
    assert values["slices"]["cold"] == {
        "users": 0,
        "hr@1": None,
        "hr@2": None,
        "ndcg@1": None,
        "ndcg@2": None,
        "mrr": None,
    }


def test_table_as_text_and_markdown():
    evaluation = result([1, 2, 4, 1], **{"novelty@10": 9.5})
    assert evaluation.table(metrics=["users", "hr@1"]) == (
        "slice    users    hr@1\n"
        "overall      4  0.5000\n"
        "head         2  0.5000\n"
        "tail         2  0.5000\n"
        "protocol: full, coverage@10 0.5000, novelty@10 9.50"
    )
    assert evaluation.table(metrics=["hr@2"], slices=["head", "cold"], markdown=True) == (
        "| slice |   hr@2 |\n"
        "| ----- | -----: |\n"
        "| head  | 0.5000 |\n"
        "| cold  |      - |\n"
        "\n"
        "protocol: full, coverage@10 0.5000, novelty@10 9.50"
    )


def test_compare_table_puts_models_side_by_side():
    text = compare_table({"a": result([1, 1]), "longer": result([1, 3])}, columns=["hr@1", "tail hr@2", "coverage@10"])
    assert text == (
        "model (full)    hr@1  tail hr@2  coverage@10\n"
        "a             1.0000     1.0000       0.5000\n"
        "longer        0.5000     0.0000       0.5000"
    )
    default = compare_table({"a": result([1, 1])}, markdown=True)
    assert "| head hr@2 |" in default and "| coverage@10 |" in default


def test_compare_table_refuses_what_is_not_comparable():
    with pytest.raises(InputError, match=r"different protocols.*100 negatives; full"):
        compare_table({"a": result([1, 1]), "b": result([1, 1], "100 negatives")})
    with pytest.raises(InputError, match="different users"):
        compare_table({"a": result([1, 1]), "b": result([1, 1, 1])})
    with pytest.raises(InputError, match="nothing to compare"):
        compare_table({})
