"""Names inside the pipeline: nodes, the items' split, the vocabulary file and the keys of extra channels."""

ITEM_EXAMPLE_GEN = "ItemExampleGen"
INTERACTION_EXAMPLE_GEN = "InteractionExampleGen"
SCHEMA_GEN = "SchemaGen"
EXAMPLE_VALIDATOR = "ExampleValidator"
TRANSFORM = "Transform"
TRAINER = "Trainer"
EVALUATOR = "Evaluator"
PUSHER = "Pusher"
BASELINE_RESOLVER = "BaselineResolver"

# The one split of item examples.
ITEMS_SPLIT = "items"
# Counts of item ids in the training split, written by Transform: one `count item_id` a line.
POPULARITY_VOCABULARY = "popularity"

# Channels that components of ours take beside the stock ones; also the keys of their URIs in `custom_config`.
SEMANTIC_IDS = "semantic_ids"
ITEMS = "items"
CONFIG = "config"


def metric_ks(ks: tuple[int, ...]) -> tuple[int, ...]:
    """The configured list lengths in order, with the gate's 10 among them."""
    return tuple(sorted({*ks, 10}))


def evaluate_outputs(ks: tuple[int, ...]) -> list[str]:
    """Outputs of the `evaluate` signature: `hr_k` and `ndcg_k` for each k, and `mrr`."""
    return [f"{metric}_{k}" for metric in ("hr", "ndcg") for k in metric_ks(ks)] + ["mrr"]


# An input that starts so is the text of a query, not a path.
QUERY_MARKER = "bigquery:"


def is_query(source: str) -> bool:
    """Whether an input is a BigQuery query."""
    return source.startswith(QUERY_MARKER)
