"""Applying trained translators."""
