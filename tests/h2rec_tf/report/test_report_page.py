"""The report page: every figure is on it, it loads nothing, and titles cannot break it."""

from __future__ import annotations

import base64
import dataclasses
import re

import numpy as np
import pytest

from h2rec_tf.report.page import Example, ModelReport, render

METRICS = {"users": 10.0, "ndcg_10": 0.1234, "hr_10": 0.25, "mrr": 0.125}


@pytest.fixture(scope="module")
def report() -> ModelReport:
    return ModelReport(
        title="Report",
        facts={"items": "40"},
        blessed=True,
        reasons=[],
        metrics={"overall": METRICS, "popularity 1-9": METRICS},
        floors={"popularity": {"overall": 0.0432}, "item-kNN": {"overall": 0.0765, "popularity 1-9": 0.0111}},
        compared=["beats item_knn: ndcg@10 0.1234 against 0.0765"],
        protocol="seen excluded",
        history=[{"loss": 3.0, "ndcg@10": 0.1}, {"loss": 2.0, "ndcg@10": 0.12}],
        best_epoch=2,
        popularity=np.asarray([0, 9, 3, 0, 1]),
        head_fraction=0.25,
        codebook={
            "usage": [[3, 1], [2, 2]],
            "dead": [2, 1],
            "perplexity": [1.75, 2.0],
            "collision_rate": 0.5,
            "largest_tuple_share": 0.25,
        },
        gate={"groups": ["1-9", "10-29"], "weights": [[0.7, 0.3], [0.4, 0.6]]},
        examples=[Example(["Old <b>hat</b>"], "New & shiny", ["Something", "New & shiny"])],
    )


def test_every_figure_is_there(report: ModelReport) -> None:
    page = render(report)
    cells = re.findall(r"<td>([^<]*)</td>", page)
    assert cells[cells.index("overall") :][:7] == ["overall", "10", "0.1234", "0.2500", "0.1250", "0.0432", "0.0765"]
    assert cells[cells.index("popularity 1-9") :][:7][-2:] == ["-", "0.0111"]
    assert "level 1: perplexity 1.75, 2 dead codes, 75.0% of items on one code" in page
    assert "50.0% of items share their code tuple with another one, 25.0% have the most common one" in page
    assert "beats item_knn: ndcg@10 0.1234 against 0.0765" in page
    assert "ranked as a server lists it: seen excluded." in page
    pictures = re.findall(r"data:image/png;base64,([^\"]+)", page)
    assert len(pictures) == 4
    assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture in pictures)


def test_loads_nothing_and_escapes_titles(report: ModelReport) -> None:
    page = render(report)
    assert not re.search(r"https?://|<script|<link|url\(", page)
    assert "Old &lt;b&gt;hat&lt;/b&gt;" in page
    assert "<strong>New &amp; shiny</strong>" in page


def test_refusal_is_shown_with_reasons_and_a_model_without_a_gate_has_no_picture_of_one(report: ModelReport) -> None:
    page = render(dataclasses.replace(report, blessed=False, reasons=["tail ndcg@10 fell"], gate=None, examples=[]))
    assert "Not blessed" in page and "tail ndcg@10 fell" in page
    assert "Granularity gate" not in page
    assert "Not blessed" not in render(report)
