"""Benchmarks: named configurations trained and measured on one data set, and what comes of the results."""
