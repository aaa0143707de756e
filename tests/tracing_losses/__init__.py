"""Losses as people write them in NumPy, none of them written with a tracer in mind.

Each module has functions and ``LOSSES``: name -> (function, inputs, names of the parameters).
"""

from tests.tracing_losses import idioms, layers, probability, sequences, signals

COLLECTION = {
    **layers.LOSSES,
    **sequences.LOSSES,
    **probability.LOSSES,
    **signals.LOSSES,
    **idioms.LOSSES,
}
