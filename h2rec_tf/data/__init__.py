"""From the user's files to a split data set, and what is counted on it.

The way of the data: `tables` (CSV, TSV, JSON Lines, Parquet) -> `interactions` and `catalogue` -> `events` (matched,
sorted, k-core) -> `splits` -> `dataset`; `load` does all of it, `dataset_report` says what was found.
"""
