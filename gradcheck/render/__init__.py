"""Renderers: pure functions from a Report to text. Only ``render.files`` opens files."""
