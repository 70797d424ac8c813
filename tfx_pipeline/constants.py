"""Names inside the pipeline: nodes, the items' split, the vocabulary file and the keys of extra channels."""

ITEM_EXAMPLE_GEN = "ItemExampleGen"
INTERACTION_EXAMPLE_GEN = "InteractionExampleGen"
SCHEMA_GEN = "SchemaGen"
EXAMPLE_VALIDATOR = "ExampleValidator"
SEMANTIC_ID_GEN = "SemanticIdGen"
TRANSFORM = "Transform"
TUNER = "Tuner"
TRAINER = "Trainer"
EVALUATOR = "Evaluator"
INDEX_BUILDER = "IndexBuilder"
INDEX_EVALUATOR = "IndexEvaluator"
INFRA_VALIDATOR = "InfraValidator"
REPORT_GEN = "ReportGen"
PUSHER = "Pusher"
VERTEX_PUSHER = "VertexPusher"
BASELINE_RESOLVER = "BaselineResolver"
WARM_START_RESOLVER = "WarmStartResolver"
# Nodes that run every time, as what they do depends on more than their inputs.
UNCACHED = (PUSHER, VERTEX_PUSHER, BASELINE_RESOLVER)

# What the pipeline's image runs; compiled specs say so too, as an image's own entry point may be another.
CONTAINER_COMMAND = ("python", "-m", "tfx_pipeline.runners.container")

# The one split of item examples.
ITEMS_SPLIT = "items"
# Counts of item ids in the training split, written by Transform: one `count item_id` a line.
POPULARITY_VOCABULARY = "popularity"

# Channels that components of ours take beside the stock ones; also the keys of their URIs in `custom_config`.
SEMANTIC_IDS = "semantic_ids"
ITEMS = "items"
TRANSFORMED_EXAMPLES = "transformed_examples"
CONFIG = "config"
INDEX = "index"
INDEX_BLESSING = "index_blessing"
EVALUATION = "evaluation"
REPORT = "report"
# Parameter of Trainer and Tuner, and a directory in the pipeline's root: where what was interrupted is kept.
CHECKPOINTS = "checkpoints"

# In a model artifact beside the SavedModel: `h2rec_tf.models.store.TrainedModel`, for a warm start and for reports.
TRAINED_MODEL_DIR = "trained"
# In a model_run artifact.
TENSORBOARD_DIR = "tensorboard"
HISTORY_FILE = "history.json"
# In an index blessing and in a report artifact.
INDEX_REPORT_FILE = "report.json"
REPORT_FILE = "report.html"

# What a pushed version has beside the SavedModel. TensorFlow Serving leaves `assets.extra` alone but for the requests.
EXTRA_DIR = "assets.extra"
WARMUP_FILE = "tf_serving_warmup_requests"
CARD_FILE = "model_card"
ITEMS_FILE = "items.jsonl"
INDEX_DIR = "index"


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


def is_remote(path: str) -> bool:
    """Whether a path names another file system than this machine's own; a mounted bucket (`/gcs/...`) does not."""
    return "://" in path
