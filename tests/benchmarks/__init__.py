"""What protection costs: `python -m tests.benchmarks` measures it against a bare app, a floor and other libraries."""
