"""Calling a target safely: what it is given, what it returns, what it leaves changed."""
