"""Objectives with hand-written derivatives that installed libraries ship."""
