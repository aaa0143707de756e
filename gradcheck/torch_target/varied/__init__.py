"""Many evaluations of a torch target at once, of which each computes only what changes in it.

One entry of a weight moves one column of what the weight is multiplied into, and one column of
every elementwise function of that. What does not move is computed once and not again. No derivative
is used anywhere.
"""
