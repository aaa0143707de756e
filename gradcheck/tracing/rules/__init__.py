"""Derivatives of NumPy's functions, in torch: plain dictionaries, one file a topic.

A rule is a function ``rule(context, *arguments)`` with the arguments of the NumPy function, in
which every value that depends on a parameter has been replaced by a tensor; it returns the tensor
(or a tuple of tensors) of the result. Its value is compared with NumPy's own, every time.
"""
