"""Restore damaged manuscript pages with Vision Transformers trained on synthetic damage."""
