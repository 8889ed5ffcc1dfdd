"""Benchmarks of tapegrad beside its peers: ``python -m benchmarks`` from the repository's root."""
