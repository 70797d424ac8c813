"""How files become a data set, and when data stops a run."""

from __future__ import annotations

import dataclasses

from h2rec_tf.config_tree import choice, number


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """How files become a data set."""

    user_column: str = "user_id"
    item_column: str = "item_id"
    timestamp_column: str = "timestamp"
    # none: the data has no times, and the order of rows (of files by name) is the order of events.
    time: str = choice("column", "none")
    # What times that are numbers count since 1970: seconds, milliseconds, microseconds or nanoseconds; auto: by size.
    time_unit: str = choice("auto", "s", "ms", "us", "ns")
    # A column of numbers or times that orders events of one user at one time; "" leaves that to a hash.
    order_column: str = ""
    # Exact repeats: rows with the user, the item and the time of another.
    repeats: str = choice("drop", "keep")
    # The item column of the items file; "" means the same name as `item_column`.
    catalogue_item_column: str = ""
    title_column: str = "title"
    # Text columns that describe an item; empty means every text column of the items file.
    text_columns: tuple[str, ...] = ()
    # A column of the items file with categories, "|" between them, that requests may filter by; "" means none.
    category_column: str = ""
    # A column of the items file that holds a vector; "" means none.
    vector_column: str = ""
    # What stands between the fields of a CSV or TSV interactions file: one or more characters, `\\t` and `\\x01` may be
    # spelled so; "" finds out by the name's ending and the first line.
    delimiter: str = ""
    # Names of that file's columns, in order, in place of a header or over it.
    columns: tuple[str, ...] = ()
    # Whether its first row has names: "auto" takes it for data only where `columns` are given and it looks like data.
    header: str = choice("auto", "present", "none")
    # What a quote means: "double" encloses a field (and stands twice in one), "none" is text, "auto" is "double", but
    # "none" between tabs (unless the header stands in quotes) and delimiters of several characters.
    quoting: str = choice("auto", "none", "double")
    # Encoding of text files, as Python names it.
    encoding: str = "utf-8"
    # The same of the items file; `catalogue_encoding: ""` means that of the interactions.
    catalogue_delimiter: str = ""
    catalogue_columns: tuple[str, ...] = ()
    catalogue_header: str = choice("auto", "present", "none")
    catalogue_quoting: str = choice("auto", "none", "double")
    catalogue_encoding: str = ""
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
