"""The configuration: one frozen tree of dataclasses, read from and written to YAML.

It lives at the edges (files, command line, TFX `custom_config`). Code inside takes explicit keyword arguments.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from h2rec_tf import config_tree
from h2rec_tf.config_tree import choice, number


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """How files become a data set."""

    user_column: str = "user_id"
    item_column: str = "item_id"
    timestamp_column: str = "timestamp"
    # The item column of the items file; "" means the same name as `item_column`.
    catalogue_item_column: str = ""
    title_column: str = "title"
    # Text columns that describe an item; empty means every text column of the items file.
    text_columns: tuple[str, ...] = ()
    # A column of the items file with categories, "|" between them, that requests may filter by; "" means none.
    category_column: str = ""
    # A column of the items file that holds a vector; "" means none.
    vector_column: str = ""
    # k-core: users and items with fewer interactions are dropped, repeatedly; 0 keeps all.
    min_user_interactions: int = number(0, low=0)
    min_item_interactions: int = number(0, low=0)
    # Pipeline: rounds of that dropping before it gives up; each costs a pass over the data.
    k_core_rounds: int = number(20, low=1)
    # Pipeline: of daily files (`day-{SPAN}.csv`), how many spans up to the newest are read together; 0 reads all.
    spans: int = number(1, low=0)
    split: str = choice("leave_one_out", "temporal")
    # Temporal split: shares of all interactions, the latest ones, that are held out.
    validation_fraction: float = number(0.1, low=0.0, high=0.9)
    test_fraction: float = number(0.1, low=0.0, high=0.9)
    # Rows that may be rejected before reading fails.
    max_bad_rows: int = number(0, low=0)


@dataclasses.dataclass(frozen=True)
class TextConfig:
    """How item text becomes vectors."""

    # "auto" takes the user's vectors where given, else TF-IDF + SVD.
    encoder: str = choice("auto", "vectors", "tfidf", "sentence")
    dimensions: int = number(256, low=1)
    max_terms: int = number(50_000, low=1)
    sentence_model: str = "sentence-transformers/all-MiniLM-L6-v2"
    # Directory for encoded vectors, keyed by content hash; "" turns the cache off.
    cache_dir: str = ""


@dataclasses.dataclass(frozen=True)
class RqVaeConfig:
    """RQ-VAE training (design: quantizer)."""

    hidden_sizes: tuple[int, ...] = (256, 128)
    latent_size: int = number(128, low=1)
    epochs: int = number(40, low=1)
    batch_size: int = number(256, low=1)
    learning_rate: float = number(1e-3, low=0.0)
    commitment: float = number(0.25, low=0.0)
    reconstruction: str = choice("squared", "cosine")
    ema_decay: float = number(0.0, low=0.0, high=0.9999)
    # A code unused for this many steps moves to a random vector of the batch; 0 turns it off.
    dead_code_steps: int = number(50, low=0)


@dataclasses.dataclass(frozen=True)
class QuantizerConfig:
    """How item vectors become semantic IDs: `levels` codes out of `codes` each."""

    kind: str = choice("rq_kmeans", "rq_vae", "pq")
    levels: int = number(4, low=1)
    # At most so many a level; a small catalogue takes one for each four items.
    codes: int = number(256, low=2)
    iterations: int = number(25, low=1)
    # RQ-KMeans measures distances in this many principal components of the vectors; 0 uses all.
    components: int = number(64, low=0)
    batch_size: int = number(16_384, low=1)
    # Product quantization only: learn a rotation first (OPQ).
    rotation: bool = True
    # Appends one digit that tells apart items whose code tuples are equal.
    disambiguation: bool = False
    rq_vae: RqVaeConfig = RqVaeConfig()


@dataclasses.dataclass(frozen=True)
class CodebookConfig:
    """When the pipeline keeps the codebooks of the last run, and when it refuses new ones."""

    # Unchanged items keep their codes while the codebooks fit the catalogue.
    reuse: bool = True
    # Fits anew when the reconstruction error grew by more than this share of what it was after fitting.
    max_error_growth: float = number(0.25, low=0.0)
    # Share of items that may have the code tuple of another item.
    max_collision_rate: float = number(0.5, low=0.0, high=1.0)
    # Per level, as shares of its codes (of the items where these are fewer).
    min_perplexity: float = number(0.1, low=0.0, high=1.0)
    max_dead_codes: float = number(0.5, low=0.0, high=1.0)


@dataclasses.dataclass(frozen=True)
class ValidationConfig:
    """When the pipeline's data validation stops a run."""

    # Largest change of one item's share of all interactions, against the last run that was accepted (drift) and
    # against logged requests (skew): the L-infinity distance; 0 does not compare.
    max_drift: float = number(0.1, low=0.0, high=1.0)
    max_skew: float = number(0.1, low=0.0, high=1.0)
    # JSON Lines of logged requests, each with a list `history` of item ids; "" compares nothing.
    serving_requests: str = ""
    # Longest accepted history; 0 sets no limit.
    max_history: int = number(0, low=0)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """What the model is made of. Ablations and baselines are values here, not other classes."""

    # dual: H2Rec. hid / sid: one ID space alone. sum / concat: both in one branch, without views.
    branches: str = choice("dual", "hid", "sid", "sum", "concat")
    backbone: str = choice("sasrec", "gru4rec", "bert4rec")
    shared_backbone: bool = False
    hidden_size: int = number(128, low=1)
    layers: int = number(2, low=1)
    heads: int = number(2, low=1)
    max_length: int = number(50, low=1)
    dropout: float = number(0.3, low=0.0, high=0.95)
    # Granularity views (cross-attention from SID levels to HIDs) and the gate that mixes them.
    views: bool = True
    # Each branch's backbone also reads the branch's own sequence; false is the paper's form.
    residual: bool = True
    gate: str = choice("dynamic", "static", "mean")
    gate_prior_high: float = 1.0
    gate_prior_low: float = 0.2
    sid_fusion: str = choice("mean", "sum", "concat")
    hid_start: str = choice("text", "random")
    sid_start: str = choice("codebooks", "random")
    sid_trainable: bool = True
    score: str = choice("cosine", "dot")
    # Divides the scores in the next-item loss.
    temperature: float = number(0.07, low=1e-4)
    # Slots of the score's seen part, which learns whether users come back to items; 0 leaves the part out.
    seen_slots: int = number(64, low=0)


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """The next-item loss and the two alignment losses."""

    next_item: str = choice("sampled_softmax", "full_softmax", "bce", "in_batch")
    negatives: int = number(2048, low=1)
    item_alignment: float = number(0.1, low=0.0)
    item_temperature: float = number(0.5, low=1e-4)
    user_alignment: float = number(0.1, low=0.0)
    user_temperature: float = number(1.0, low=1e-4)
    mask_strategy: str = choice("lowest", "highest", "random")
    mask_ratio: float = number(0.5, low=0.0, high=1.0)
    # Positives of the item alignment beside the item itself.
    cooccurrence_positives: int = number(50, low=0)
    cooccurrence_window: int = number(3, low=1)
    # Co-occurrence weight decays by exp(-|t - t'| / this) when above 0, in timestamp units.
    cooccurrence_time_scale: float = number(0.0, low=0.0)
    code_positives: bool = True
    hard_negatives: int = number(0, low=0)
    # Share of each next-item target that goes to neighbours of the latest items, in other histories and in text.
    teacher: float = number(0.3, low=0.0, high=0.99)
    # The text neighbours' part of it.
    teacher_text: float = number(0.5, low=0.0, high=1.0)
    # Neighbours of an item, of each kind.
    teacher_neighbours: int = number(50, low=1)
    # Of an item's neighbours, how many a step draws; 0 takes all, which is exact and slower.
    teacher_samples: int = number(16, low=0)
    # Latest items whose neighbours count, and the weight of an item relative to the one after it.
    teacher_last: int = number(3, low=1)
    teacher_decay: float = number(0.6, low=0.0, high=1.0)


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """The training loop."""

    epochs: int = number(12, low=1)
    # An epoch is as many passes over the data as make at least so many steps, so that small data trains long enough.
    min_epoch_steps: int = number(150, low=0)
    # Sequences in a step at most.
    batch_size: int = number(128, low=1)
    # Positions in a step at most, padding counted: long histories make smaller batches; 0 sets no such limit.
    batch_positions: int = number(1024, low=0)
    learning_rate: float = number(2e-3, low=0.0)
    schedule: str = choice("cosine", "constant", "linear")
    warmup_steps: int = number(0, low=0)
    clip_norm: float = number(5.0, low=0.0)
    weight_decay: float = number(0.0, low=0.0)
    # Epochs without a better validation NDCG@10 before training stops.
    patience: int = number(4, low=1)
    # Stops after this many steps in all; 0 means no such limit.
    max_steps: int = number(0, low=0)
    # Validation users used for early stopping; 0 means all.
    validation_users: int = number(0, low=0)
    strategy: str = choice("default", "mirrored", "multi_worker")
    precision: str = choice("float32", "mixed_float16", "mixed_bfloat16")
    # The pipeline's Trainer begins with the weights of the last blessed model that was trained on other data.
    warm_start: bool = True
    seed: int = number(0, low=0)


def _tuner_space() -> dict[str, Any]:
    return {
        "training.learning_rate": {"low": 5e-4, "high": 4e-3, "log": True},
        "model.dropout": {"low": 0.1, "high": 0.6},
        "loss.item_alignment": [0.0, 0.1, 0.3],
    }


@dataclasses.dataclass(frozen=True)
class TunerConfig:
    """The pipeline's Tuner, which searches hyperparameters for the highest NDCG@10 on validation."""

    enabled: bool = False
    trials: int = number(10, low=1)
    # Time in trials at most; 0 sets no limit.
    minutes: float = number(0.0, low=0.0)
    # Dotted keys of `model`, `loss` and `training` with a list of values or {low: ..., high: ..., log: true}. A file
    # that names keys replaces the whole mapping.
    space: dict[str, Any] = dataclasses.field(default_factory=_tuner_space)


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """What is measured."""

    ks: tuple[int, ...] = (5, 10, 20)
    # Share of the catalogue, most popular in training first, that is the head.
    head_fraction: float = number(0.2, low=0.0, high=1.0)
    exclude_seen: bool = False
    # 0 ranks the whole catalogue; above 0 the target is ranked among that many uniform unseen items.
    sampled_negatives: int = number(0, low=0)
    seed: int = number(0, low=0)


@dataclasses.dataclass(frozen=True)
class SliceGateConfig:
    """Thresholds of one slice."""

    min_ndcg_at_10: float = number(0.0, low=0.0, high=1.0)
    # Relative loss against the last blessed model that is still accepted; -1 takes `gate.max_relative_drop`.
    max_relative_drop: float = number(-1.0, low=-1.0, high=1.0)


@dataclasses.dataclass(frozen=True)
class ItemKnnConfig:
    """The co-occurrence floor."""

    # Largest distance of two positions that form a pair; a pair at distance d counts `distance_decay ** (d - 1)`.
    window: int = number(3, low=1)
    distance_decay: float = number(0.8, low=0.0, high=1.0)
    # Draws the similarity of rare items towards 0.
    shrink: float = number(10.0, low=0.0)
    # Items of history that are read, and the weight of one relative to the one after it.
    last: int = number(10, low=1)
    decay: float = number(0.6, low=0.0, high=1.0)
    # Most similar items kept for each item; 0 keeps all.
    neighbours: int = number(0, low=0)


@dataclasses.dataclass(frozen=True)
class TextNeighboursConfig:
    """The content floor."""

    # Items of history that are read, and the weight of one relative to the one after it.
    last: int = number(1, low=1)
    decay: float = number(1.0, low=0.0, high=1.0)


@dataclasses.dataclass(frozen=True)
class FloorConfig:
    """A comparison that needs no training, in place of the model: for `h2rec bench quality` and `h2rec tune`."""

    # none: the configured model is trained. blend: item-kNN plus `text_weight` times text neighbours.
    kind: str = choice("none", "popularity", "item_knn", "text_neighbours", "blend")
    text_weight: float = number(0.1, low=0.0)
    item_knn: ItemKnnConfig = ItemKnnConfig()
    text_neighbours: TextNeighboursConfig = TextNeighboursConfig()


@dataclasses.dataclass(frozen=True)
class GateConfig:
    """When the pipeline's Evaluator blesses a model."""

    # Over the whole test split.
    min_ndcg_at_10: float = number(0.0, low=0.0, high=1.0)
    # Relative loss against the last blessed model that is still accepted: overall, for head and for tail.
    max_relative_drop: float = number(0.05, low=0.0, high=1.0)
    # Slice name -> `min_ndcg_at_10`, `max_relative_drop`: thresholds of more slices, or others for those three. Names:
    # overall, head, tail, cold, "popularity 1-9" and so on, "history 1-4" and so on.
    slices: dict[str, SliceGateConfig] = dataclasses.field(default_factory=dict)
    # Local runs load the model in a server's image before it is pushed. auto: where a Docker daemon answers.
    infra_validation: str = choice("auto", "on", "off")
    # The image it is loaded in, NAME:TAG or NAME@DIGEST: TensorFlow Serving's, or h2rec's own server.
    infra_validation_image: str = "tensorflow/serving:2.16.1"


@dataclasses.dataclass(frozen=True)
class ServingConfig:
    """Limits that the exported signatures carry."""

    max_k: int = number(100, low=1)


@dataclasses.dataclass(frozen=True)
class CloudTrainerConfig:
    """The machine that trains on Kubeflow or Vertex AI; `training.strategy` says how its devices share the work."""

    # step: inside the pipeline's own step. custom_job: the step starts a Vertex AI custom job and waits for it.
    run_as: str = choice("step", "custom_job")
    # Limits of the step; 0 leaves the platform's own.
    cpu: float = number(0.0, low=0.0)
    memory_gib: float = number(0.0, low=0.0)
    # As the platform names it, NVIDIA_TESLA_T4 for example; "" means none.
    accelerator_type: str = ""
    accelerator_count: int = number(1, low=1)
    # Custom job only: machine type and number of machines; more than one needs `training.strategy: multi_worker`.
    machine_type: str = "n1-standard-8"
    replicas: int = number(1, low=1)


@dataclasses.dataclass(frozen=True)
class CloudPushConfig:
    """What a Vertex AI pipeline does with a pushed model beyond writing it to the serving directory."""

    # Uploads the pushed version to the model registry and deploys it to an endpoint.
    enabled: bool = False
    # Display name of the endpoint, made when there is none, and of the model.
    endpoint: str = "h2rec"
    # Vertex AI's own TensorFlow Serving image or one that serves the same API.
    image: str = "us-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest"
    machine_type: str = "n1-standard-4"
    min_replicas: int = number(1, low=1)
    max_replicas: int = number(1, low=1)
    # Percent of the endpoint's requests that the new model takes; the others share the rest as they did before.
    traffic: int = number(100, low=0, high=100)


@dataclasses.dataclass(frozen=True)
class CloudConfig:
    """Kubeflow and Vertex AI. Project and region are used by steps that call Vertex AI themselves."""

    project: str = ""
    region: str = ""
    # Runs custom jobs and deployed models; "" means the project's default.
    service_account: str = ""
    # Limits of every step but the Trainer's; 0 leaves the platform's own.
    cpu: float = number(0.0, low=0.0)
    memory_gib: float = number(0.0, low=0.0)
    trainer: CloudTrainerConfig = CloudTrainerConfig()
    push: CloudPushConfig = CloudPushConfig()


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


@dataclasses.dataclass(frozen=True)
class Config:
    """The whole tree."""

    data: DataConfig = DataConfig()
    text: TextConfig = TextConfig()
    quantizer: QuantizerConfig = QuantizerConfig()
    codebooks: CodebookConfig = CodebookConfig()
    validation: ValidationConfig = ValidationConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    training: TrainingConfig = TrainingConfig()
    tuner: TunerConfig = TunerConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    floor: FloorConfig = FloorConfig()
    gate: GateConfig = GateConfig()
    serving: ServingConfig = ServingConfig()
    cloud: CloudConfig = CloudConfig()
    index: IndexConfig = IndexConfig()

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and strings, ready for YAML or JSON."""
        return config_tree.to_dict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """The tree with `values` over the defaults.

        Raises:
            InputError: an unknown key (the nearest right name is given), a wrong type, or a value out of range.
        """
        return config_tree.from_dict(cls, values)

    def replace(self, **values: Any) -> Config:
        """A copy with dotted keys changed: `config.replace(**{"model.layers": 1})`.

        Raises:
            InputError: as `from_dict`.
        """
        return config_tree.replace(self, values)

    @classmethod
    def load(cls, path: str) -> Config:
        """Reads a YAML file; keys that are absent keep their defaults.

        Raises:
            InputError: the file is missing or not YAML, or as `from_dict`.
        """
        return cls.from_dict(config_tree.read_yaml(path))

    def save(self, path: str) -> None:
        """Writes the whole tree as YAML."""
        config_tree.write_yaml(path, self.to_dict())
