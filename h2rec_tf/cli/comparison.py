"""The table that commands print: a model beside the floors that need no training."""

from __future__ import annotations

import json

from h2rec_tf.config import EvaluationConfig
from h2rec_tf.data.sequences import Dataset
from h2rec_tf.evaluation import Recommender


def comparison(
    recommender: Recommender, dataset: Dataset, config: EvaluationConfig, *, json_path: str | None = None
) -> str:
    """Popularity, item-kNN and the model on the test split: overall, head and tail.

    Args:
        recommender: the model.
        dataset: the split data; floors read its training part.
        config: what is measured.
        json_path: where to write every slice and metric of all three.

    Raises:
        InputError: the test split is empty, or the file cannot be written.
    """
    from h2rec_tf.atomic import write_atomically
    from h2rec_tf.evaluation import compare_table, evaluate
    from h2rec_tf.models.item_knn import ItemKnn
    from h2rec_tf.models.popularity import Popularity

    popularity = dataset.popularity
    compared: dict[str, Recommender] = {
        "popularity": Popularity(popularity),
        "item-kNN": ItemKnn.fit(dataset.train, len(dataset.catalogue)),
        "h2rec": recommender,
    }
    results = {
        name: evaluate(
            one,
            dataset.test,
            popularity=popularity,
            ks=config.ks,
            head_fraction=config.head_fraction,
            exclude_seen=config.exclude_seen,
            sampled_negatives=config.sampled_negatives,
            seed=config.seed,
            progress=True,
        )
        for name, one in compared.items()
    }
    if json_path is not None:
        content = {name: result.to_dict() for name, result in results.items()}
        write_atomically(json_path, json.dumps(content, indent=1).encode())
    return compare_table(results)
