"""Giving the commands of README and docs in tests."""
