"""Attention by operations that torch can differentiate forwards and twice."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any


def plain_attention() -> AbstractContextManager[Any]:
    """Return a context in which ``scaled_dot_product_attention`` is products and a softmax.

    Its fused kernels, which compute the same, have no forward mode and no second derivative.
    """
    context: AbstractContextManager[Any]
    try:
        from torch.nn.attention import SDPBackend, sdpa_kernel
    except ImportError:  # torch before 2.3
        from torch.backends.cuda import sdp_kernel

        context = sdp_kernel(enable_flash=False, enable_mem_efficient=False)
    else:
        context = sdpa_kernel(SDPBackend.MATH)
    return context
