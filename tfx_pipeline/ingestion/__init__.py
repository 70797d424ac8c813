"""Ingestion on Beam: from files or a query to grouped, filtered and split interactions, on any runner.

The way of the data: `sources` (files, spans, queries) -> `rows` (pieces of files, checked rows by user shard) ->
`groups` (each shard's users, sorted, each interaction once; the k-core) -> `cuts` (times of the temporal split)
-> `shards` (splits in TFRecord files); `findings` counts and lists what was rejected on the way. What a row means and
when it is rejected is the library's (`h2rec_tf.data`), so that the results are those of its loader.
"""
