"""Names shared by data, pipeline, exported model and server. Nothing else spells them out."""

# Features of an example: one user's history, and in held-out splits the item that came next.
USER_ID = "user_id"
HISTORY = "history"
TIMESTAMPS = "timestamps"
TARGET = "target"
# Transformed features: item indices instead of string ids (0 pads, 1..N are the catalogue's rows).
HISTORY_INDEX = "history_index"
TARGET_INDEX = "target_index"
# Features derived from the target for slicing metrics.
POPULARITY_SLICE = "popularity_slice"
POPULARITY_GROUP = "popularity_group"
HISTORY_SLICE = "history_slice"

# Features of an item example.
ITEM_ID = "item_id"
TITLE = "title"
TEXT = "text"
CATEGORIES = "categories"
VECTOR = "vector"

# Splits. The training split alone feeds vocabularies, popularity and co-occurrence.
TRAIN = "train"
VALIDATION = "validation"
TEST = "test"
SPLITS = (TRAIN, VALIDATION, TEST)

# Slices.
OVERALL = "overall"
HEAD = "head"
TAIL = "tail"
COLD = "cold"

# Signatures of the exported model and the names of their inputs and outputs.
SERVING_DEFAULT = "serving_default"
SERVE_EXAMPLES = "serve_examples"
TRANSFORM_FEATURES = "transform_features"
EVALUATE = "evaluate"
USER_EMBEDDING = "user_embedding"
ITEM_EMBEDDING = "item_embedding"
COLD_ITEM_EMBEDDING = "cold_item_embedding"
ITEM_TITLES = "item_titles"
SIMILAR_ITEMS = "similar_items"
RANK_CANDIDATES = "rank_candidates"
K = "k"
EXCLUDE = "exclude"
ALLOW_CATEGORIES = "allow_categories"
CANDIDATES = "candidates"
VECTORS = "vectors"
CODES = "codes"
COUNT = "count"
ORDER = "order"
KNOWN = "known"
ITEM_IDS = "item_ids"
TITLES = "titles"
SCORES = "scores"
EMBEDDING = "embedding"
LEARNED_EMBEDDING = "learned_embedding"
SEEN_EXCLUDED = "seen_excluded"
EXAMPLES = "examples"

# Beside an exported graph: a folder that servers pass over, and in it the file that tells whose model it is.
EXTRA_DIR = "assets.extra"
LIMITS_FILE = "h2rec.json"
