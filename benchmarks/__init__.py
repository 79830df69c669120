"""What the project costs and what it is worth, measured: ``python -m benchmarks NAME [options]``."""
