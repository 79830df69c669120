"""Measuring restorers: pairs of pages, methods, scores, their statistics, and the tables of them."""
