"""What a check costs as everything around it grows: `python -m tests.benchmarks.growth`."""
