"""The benchmark suite: `make bench`, `make bench-quick`. docs/benchmarks.md has the results and how to read them."""
