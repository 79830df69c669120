"""Books of IIIF servers: what a manifest shows is fetched at full size, and given back restored as a manifest."""

from manuscript_restore.iiif.book import BASE_URL, Book, Given, check, is_named

__all__ = ["BASE_URL", "Book", "Given", "check", "is_named"]
