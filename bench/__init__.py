"""Benchmarks. `whole` measures the product from outside, `parts` its pieces; `make bench` runs both kinds."""
