"""How items get semantic IDs: text to vectors, vectors to codes."""

from __future__ import annotations

import dataclasses

from h2rec_tf.config_tree import choice, number


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
    # Largest share of items on one code of the first level, the coarsest, and on one whole code tuple. Twice an even
    # share, and two items on a tuple, are always accepted: in the smallest catalogues that is more.
    max_code_share: float = number(0.5, low=0.0, high=1.0)
    max_tuple_share: float = number(0.25, low=0.0, high=1.0)
    # Per level, as shares of its codes (of the items where these are fewer).
    min_perplexity: float = number(0.1, low=0.0, high=1.0)
    max_dead_codes: float = number(0.5, low=0.0, high=1.0)
