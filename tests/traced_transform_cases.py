"""Cases of complex numbers, Fourier transforms, filters, distances and factors."""

from __future__ import annotations

import cmath
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.fft
import scipy.linalg
import scipy.ndimage
import scipy.signal
import scipy.spatial.distance
from traced_calls import A, B, Call, Spec
from traced_operations import Case, Draw, either, fixed, square


def _real_parts(result: Any) -> Any:
    """Return a result in real numbers, in memory of its own."""
    if np.iscomplexobj(result):
        return np.real(result) * 1.0, np.imag(result) * 2.0
    return result * 1.0


def _transform(function: Any, shape: tuple[int, ...], *, of_complex: bool, **options: Any) -> Case:
    def call(a: np.ndarray) -> Any:
        z = a + 1j * a**2 if of_complex else a
        return _real_parts(function(z, **options))

    return lambda d: (Call(call, (A,)), [d.spec(shape)])


def _fourier(module: Any) -> dict[Any, Case]:
    cases: dict[Any, Case] = {}
    for count, names in (
        (1, "fft ifft rfft irfft hfft ihfft"),
        (2, "fft2 ifft2 rfft2 irfft2"),
        (3, "fftn ifftn rfftn irfftn"),
    ):
        for name in names.split():
            function = getattr(module, name)
            real = name.startswith(("rfft", "ihfft"))
            more = [{"norm": "ortho"}, {"norm": "forward"}]
            if count == 1:
                more += [{"n": 6}, {"axis": 0}, {"n": 3, "axis": -2}]
            if count > 1:
                more += [{"axes": (0, 1)}, {"s": (4, 3), "axes": (-2, -1)}]
            cases[function] = either(
                *(
                    _transform(function, (3, 4), of_complex=not real, **options)
                    for options in ({}, *more)
                ),
                *([] if real else [_transform(function, (3, 4), of_complex=False)]),
            )
    return cases


def _of_complex_number(function: Any) -> Case:
    def call(a: np.ndarray) -> Any:
        z = function(complex(a[0], a[1]))
        return z.real, z.imag * 2

    return lambda d: (Call(call, (A,)), [d.spec((2,), 0.2, 1.5)])


def _complex() -> dict[Any, Case]:
    names = ("exp", "sqrt", "sin", "cos", "sinh", "cosh", "tan", "tanh")

    def doubled(kind: Any) -> Case:
        def call(a: np.ndarray) -> Any:
            z = kind(a[0]) * kind(1j) + a[1]
            return _real_parts(z * z)

        return lambda d: (Call(call, (A,)), [d.spec((2,))])

    return {
        **{getattr(cmath, name): _of_complex_number(getattr(cmath, name)) for name in names},
        complex: _of_complex_number(lambda z: complex(z) ** 2),
        np.complex128: doubled(np.complex128),
        np.complex64: doubled(np.complex64),
        np.imag: fixed(lambda a: np.imag((a + 0.5j) ** 2) * 1.0, A),
    }


_KERNEL = np.array([0.5, 1.0, -0.3])


def _filters() -> dict[Any, Case]:
    signal, image = scipy.signal, scipy.ndimage
    sections = signal.butter(2, 0.3, output="sos")

    def of_signal(function: Any, *more: Any, n: int = 12, **options: Any) -> Case:
        return _transform(
            lambda x, **kw: function(x, *more, **kw), (n,), of_complex=False, **options
        )

    def two(function: Any, first: Any, second: Any) -> Case:
        return either(
            *(
                fixed(function, A, B, shapes=(first, second), mode=mode)
                for mode in ("full", "same", "valid")
            )
        )

    cases: dict[Any, Case] = {
        getattr(scipy.fft, name): either(
            of_signal(getattr(scipy.fft, name)),
            of_signal(getattr(scipy.fft, name), norm="ortho", type=3),
            fixed(getattr(scipy.fft, name), A, shapes=((3, 4),), axis=0),
        )
        for name in ("dct", "idct", "dst", "idst")
    }
    cases |= {
        signal.savgol_filter: of_signal(signal.savgol_filter, 5, 2),
        signal.detrend: either(
            of_signal(signal.detrend), fixed(signal.detrend, A, shapes=((3, 4),), axis=0)
        ),
        signal.hilbert: of_signal(signal.hilbert),
        signal.sosfilt: of_signal(lambda x: signal.sosfilt(sections, x)),
        signal.sosfiltfilt: of_signal(lambda x: signal.sosfiltfilt(sections, x), n=24),
        signal.filtfilt: of_signal(lambda x: signal.filtfilt([0.3, 0.2], [1.0, -0.4], x), n=24),
        signal.resample: of_signal(signal.resample, 7),
        signal.decimate: of_signal(signal.decimate, 2, n=40),
        signal.resample_poly: of_signal(signal.resample_poly, 2, 3),
        signal.lfilter: either(
            of_signal(lambda x: signal.lfilter([0.3, 0.2], [1.0, -0.4], x)),
            fixed(lambda b, x: signal.lfilter(b, [1.0, 0.3], x), A, B, shapes=((3,), (8,))),
        ),
        image.gaussian_filter1d: of_signal(image.gaussian_filter1d, 1.2),
        image.convolve1d: of_signal(image.convolve1d, _KERNEL),
        image.correlate1d: of_signal(image.correlate1d, _KERNEL, mode="nearest"),
        image.uniform_filter1d: of_signal(image.uniform_filter1d, 3),
        **{
            function: either(
                two(function, (6,), (3,)),
                two(function, (3,), (6,)),
                two(function, (6,), (2,)),
                two(function, (5, 4), (2, 3)),
            )
            for function in (signal.convolve, signal.fftconvolve, signal.correlate)
        },
        **{
            function: either(two(function, (4, 3), (2, 3)), two(function, (4, 5), (3, 2)))
            for function in (signal.convolve2d, signal.correlate2d)
        },
    }
    return cases


def _two_clouds(metric: str) -> Case:
    """Points of two sets that do not overlap: the distance of two that do has a kink there."""

    def draw(d: Draw) -> tuple[Call, list[Spec]]:
        call = Call(scipy.spatial.distance.cdist, (A, B), {"metric": metric})
        return call, [d.spec((2, 3)), replace(d.spec((4, 3)), low=2.5, high=5.0)]

    return draw


def _distances() -> dict[Any, Case]:
    distance = scipy.spatial.distance
    metrics = ("euclidean", "sqeuclidean", "cityblock", "chebyshev", "cosine", "correlation")
    return {
        distance.cdist: either(*(_two_clouds(metric) for metric in metrics)),
        distance.pdist: either(
            *(fixed(distance.pdist, A, shapes=((4, 3),), metric=metric) for metric in metrics)
        ),
        distance.squareform: either(
            fixed(distance.squareform, A, shapes=((6,),)),
            fixed(lambda a: distance.squareform(distance.pdist(a)), A, shapes=((3, 2),)),
        ),
    }


def _factors() -> dict[Any, Case]:
    def solved(a: np.ndarray, b: np.ndarray) -> Any:
        return scipy.linalg.lu_solve(scipy.linalg.lu_factor(a), b)

    def factors(a: np.ndarray) -> Any:
        return scipy.linalg.lu(a)[1:]

    def spectrum(a: np.ndarray) -> Any:
        return _real_parts(np.linalg.eigvals(a @ a + a.T))

    return {
        scipy.linalg.lu_factor: square(solved, right="any"),
        scipy.linalg.lu_solve: square(solved, right="any"),
        scipy.linalg.lu: square(factors),
        np.linalg.eigvals: square(spectrum),
    }


def transforms() -> dict[Any, Case]:
    """Return the cases by function."""
    return {
        **_fourier(np.fft),
        **_fourier(scipy.fft),
        **_complex(),
        **_filters(),
        **_distances(),
        **_factors(),
    }
