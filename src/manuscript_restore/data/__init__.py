"""Clean pages, their views and their damage: from a folder to batches."""

from manuscript_restore.data.module import PagesDataModule

__all__ = ["PagesDataModule"]
