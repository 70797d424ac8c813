"""The exported model and the index beside it."""

from __future__ import annotations

import dataclasses

from h2rec_tf.config_tree import choice, number


@dataclasses.dataclass(frozen=True)
class ServingConfig:
    """What the exported signatures carry: the policy on seen items, and limits."""

    # Whether lists leave out items of the user's history (exclude), or recommend them like others (include), as music,
    # groceries and news ask for. Validation, evaluation, gates and reports rank by the same policy.
    seen: str = choice("exclude", "include")
    max_k: int = number(100, low=1)


@dataclasses.dataclass(frozen=True)
class IndexConfig:
    """The ScaNN index over item vectors. 0 means: derived from the number of items."""

    # "auto" is brute force below 20,000 items, asymmetric hashing (ah) below 100,000, a tree with it (tree_ah) above.
    kind: str = choice("auto", "brute", "ah", "tree_ah")
    # Leaves of the tree; 0: the square root of the number of items.
    leaves: int = number(0, low=0)
    # Leaves that a query looks into; 0: a tenth of them.
    leaves_to_search: int = number(0, low=0)
    # More dimensions in a block make the index smaller and faster, and less exact.
    dimensions_per_block: int = number(2, low=1)
    # Weight of errors along the item vector (anisotropic quantization); 0 turns it off.
    anisotropic_threshold: float = number(0.2, low=0.0, high=1.0)
    # Candidates whose exact scores are computed; 0: four times `k`.
    reorder: int = number(0, low=0)
    # Vectors that the tree and the hash are learned from.
    training_sample: int = number(100_000, low=1)
    # List length that the index is derived, evaluated and tuned for.
    k: int = number(100, low=1)
    # Queries that evaluation and tuning ask.
    queries: int = number(1000, low=1)
    # Share of the exact top k that tuning must reach, and below which an index is not blessed.
    target_recall: float = number(0.98, low=0.0, high=1.0)
    # Slowest 99th percentile of a query, in milliseconds, that is blessed; 0 sets no limit.
    max_p99_ms: float = number(0.0, low=0.0)
    # Most memory of the loaded index, as a multiple of its size on disk, that is blessed; 0 sets no limit.
    max_memory_ratio: float = number(0.0, low=0.0)
