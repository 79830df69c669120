"""Hydra plugins: the sweeper on Optuna and the launcher on Ray."""
