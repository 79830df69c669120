"""Sweeps: a study that processes share, its samplers and pruning, the table and the report at its end."""
