"""Measuring restorers: pairs of pages, methods, scores, statistics, tables and the report."""
