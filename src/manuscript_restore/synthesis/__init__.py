"""Generated manuscript pages."""

from manuscript_restore.synthesis.pages import generate_page

__all__ = ["generate_page"]
