"""Complex numbers, Fourier transforms, filters, distances and LU factors under the trace.

Each traced gradient is held against central differences of the plain function; losses of complex
numbers also against the same loss written in PyTorch's complex numbers.
"""

import cmath

import numpy as np
import pytest
import scipy.fft
import scipy.linalg
import scipy.ndimage
import scipy.signal
from conftest import needs_torch
from scipy.spatial import distance

from gradcheck import check
from gradcheck.tracing import NotTraceable, trace

SIGNAL = np.random.default_rng(1).normal(size=12)
ROWS = np.random.default_rng(2).normal(size=(4, 6))
POINTS = np.random.default_rng(3).normal(size=(5, 3))
OTHERS = np.random.default_rng(4).normal(size=(4, 3))
SQUARE = np.random.default_rng(5).normal(size=(4, 4)) + 3 * np.eye(4)
SHORT = np.array([0.4, -1.1, 0.7])
WEIGHTS = np.random.default_rng(6).normal(size=1000)
B, A = scipy.signal.butter(2, 0.3)
SECTIONS = scipy.signal.butter(4, 0.3, output="sos")


def weighted(result):
    """One real number from a result of real or complex numbers."""
    if isinstance(result, tuple | list):
        total = 0.0
        for k, part in enumerate(result):
            total = total + (k + 1) * weighted(part)
        return total
    flat = np.ravel(result)
    if np.iscomplexobj(flat):
        flat = np.concatenate([flat.real, flat.imag * flat.real])
    return np.sum(flat * WEIGHTS[: flat.size])


def worst_error(function, arrays, step=1e-3):
    """Return the largest difference between traced and numeric derivatives."""
    arrays = [array.copy() for array in arrays]
    named = {str(k): array for k, array in enumerate(arrays)}
    gradient = trace(function, arrays, {}, named, loss_of=weighted).backward()
    errors = []
    for name, array in named.items():
        for place in np.ndindex(array.shape):
            old, losses = array[place], {}
            for k in (-2, -1, 1, 2):
                array[place] = old + k * step
                losses[k] = float(weighted(function(*arrays)))
            array[place] = old
            numeric = (8 * (losses[1] - losses[-1]) - (losses[2] - losses[-2])) / (12 * step)
            errors.append(abs(gradient[name][place] - numeric) / max(1.0, abs(numeric)))
    return max(errors)


def in_place(x):
    z = np.fft.fft(x)
    z *= 1 + 2j
    z[1:3] = z[2:4] * x[0]
    z[0] = 1.5
    z[5] += 2j * x[3]
    return z


def element_by_element(x):
    """A discrete Fourier transform as it is written in a first course."""
    n = len(x)
    out = np.zeros(n, dtype=complex)
    for k in range(n):
        for j in range(n):
            out[k] += x[j] * np.exp(-2j * np.pi * k * j / n)
    return abs(out) ** 2


def scalar_arithmetic(x):
    z = complex(0, 1) * x[0] + complex(x[1], x[2]) + complex(x[3])
    w = -cmath.exp(1j * x.tolist()[2])
    w *= z
    return (z * z.conjugate()).real + (z**2).imag + abs(z) + (w + np.complex128(w).conj() * w).real


def with_out(x):
    buffer = np.empty(len(x), dtype=complex)
    np.multiply(np.exp(1j * x), 2.0, out=buffer)
    return buffer


TRANSFORMS = {
    "spectrum": (lambda x: np.abs(np.fft.fft(x)) ** 2, SIGNAL),
    "real spectrum": (lambda x: np.fft.rfft(x, norm="ortho"), SIGNAL),
    "padded and cut": (lambda x: (np.fft.fft(x, 16), np.fft.rfft(x, n=7)), SIGNAL),
    "there and back": (lambda x: np.fft.irfft(np.fft.rfft(x) * np.fft.rfft(x[::-1]), 12), SIGNAL),
    "inverse": (lambda x: np.fft.ifft(np.exp(1j * x), norm="forward"), SIGNAL),
    "Hermitian": (lambda x: (np.fft.hfft(x + 1j * x**2), np.fft.ihfft(x)), SIGNAL),
    "along an axis": (lambda a: np.fft.fft(a, axis=0) @ a.T, ROWS),
    "in two dimensions": (lambda a: (np.fft.fft2(a), np.fft.irfft2(np.fft.rfft2(a))), ROWS),
    "in many": (lambda a: np.fft.ifftn(np.fft.fftn(a) * (1 + a), axes=(0, 1)), ROWS),
    "shifted": (lambda x: np.fft.fftshift(np.fft.fft(x) * np.fft.fftfreq(12)), SIGNAL),
    "of SciPy": (lambda x: (scipy.fft.fft(x), scipy.fft.irfft(scipy.fft.rfft(x))), SIGNAL),
    "cosine transform": (lambda x: scipy.fft.idct(scipy.fft.dct(x, norm="ortho")[:6]), SIGNAL),
    "sine transform along": (lambda a: scipy.fft.dst(a, type=3, axis=0), ROWS),
    "parts": (lambda x: (np.real(x * 1j + x), np.imag(np.exp(1j * x)), np.angle(x + 2j)), SIGNAL),
    "attributes": (lambda x: ((1j * x).imag, (x + 1j * x**2).real), SIGNAL),
    "conjugates": (
        lambda x: (np.conj(x * 1j) * x, (x + 1j).conj() ** 2, np.vdot(1j * x, x)),
        SIGNAL,
    ),
    "conjugate of what is real": (
        lambda x: np.conj(x + 0j) * (1 + 1j) + np.vdot(x + 0j, x),
        SIGNAL,
    ),
    "elementary": (
        lambda x: (np.exp(1j * x), np.sin(1j * x), np.log(x + 2j), np.sqrt(x + 1j)),
        SIGNAL,
    ),
    "signs": (lambda x: np.sign(x * (1 + 2j)) * np.sign(x) + np.sign(x + 1j), SIGNAL),
    "collected": (lambda x: np.array([(1j * v * v).imag * (v + 1j) for v in x]), SIGNAL),
    "norms": (lambda a: (np.linalg.norm(a * (1 + 2j)), np.linalg.norm(1j * a, axis=1)), ROWS),
    "products": (lambda a: (np.einsum("ij,ij->i", a, 1j * a), np.dot(a, (2 + 1j) * a.T)), ROWS),
    "solved": (lambda a: np.linalg.solve(a + 1j * np.eye(4), a[0]), SQUARE),
    "in place": (in_place, SIGNAL),
    "element by element": (element_by_element, SIGNAL[:5]),
    "scalars": (scalar_arithmetic, SIGNAL),
    "out": (with_out, SIGNAL),
    "eigenvalues": (
        lambda a: np.linalg.eigvals(a) ** 2,
        SQUARE @ SQUARE.T + np.diag([1.0, 5, 9, 20]),
    ),
    "complex eigenvalues": (lambda a: np.abs(np.linalg.eigvals(a)), SQUARE - SQUARE.T),
}

FILTERS = {
    "recursive": (lambda x: scipy.signal.lfilter(B, A, x), SIGNAL),
    "its coefficients": (scipy.signal.lfilter, SHORT, np.array([1.3, -0.4]), SIGNAL),
    "along the first axis": (lambda a: scipy.signal.lfilter([1.0, 0.5], [1.0], a, axis=0), ROWS),
    "both ways": (lambda x: scipy.signal.filtfilt(B, A, x, padlen=5), SIGNAL),
    "in sections": (lambda x: scipy.signal.sosfilt(SECTIONS, x), SIGNAL),
    "smoothed": (lambda x: scipy.signal.savgol_filter(x, 5, 2) ** 2, SIGNAL),
    "without its trend": (lambda a: scipy.signal.detrend(a, axis=0), ROWS),
    "analytic": (lambda x: np.abs(scipy.signal.hilbert(x)), SIGNAL),
    "resampled": (lambda x: scipy.signal.resample(x, 8), SIGNAL),
    "blurred": (lambda a: scipy.ndimage.gaussian_filter1d(a, 1.2, axis=1) ** 2, ROWS),
    "convolved": (
        lambda x, h: [scipy.signal.convolve(x, h, mode) for mode in ("full", "same", "valid")],
        SIGNAL, SHORT,
    ),
    "by transforms": (lambda x, h: scipy.signal.fftconvolve(x, h, mode="same"), SIGNAL, SHORT),
    "correlated": (lambda x, h: scipy.signal.correlate(x, h, "same"), SIGNAL, SHORT),
    "pictures": (
        lambda a: (
            scipy.signal.convolve2d(a, a[:2, :3], mode="valid"),
            scipy.signal.correlate2d(a, a[:2, :3]),
        ),
        ROWS,
    ),
}  # fmt: skip

METRICS = (
    "euclidean", "sqeuclidean", "cityblock", "chebyshev", "canberra", "cosine", "correlation",
    "braycurtis",
)  # fmt: skip

GEOMETRY = {
    **{
        metric: (
            lambda x, y, m=metric: (distance.pdist(x, m), distance.cdist(x, y, metric=m)),
            POINTS, OTHERS,
        )
        for metric in METRICS
    },
    "minkowski": (lambda x, y: distance.cdist(x, y, "minkowski", p=3), POINTS, OTHERS),
    "a kernel": (lambda x: np.exp(-distance.cdist(x, x, "sqeuclidean")), POINTS),
    "a square form": (lambda x: distance.squareform(distance.pdist(x)) @ x, POINTS),
    "to itself": (lambda x: np.tanh(distance.cdist(x, x) ** 2), POINTS),
    "LU": (lambda a: scipy.linalg.lu_solve(scipy.linalg.lu_factor(a), a[0]), SQUARE),
    "LU, transposed": (
        lambda a: scipy.linalg.lu_solve(scipy.linalg.lu_factor(a[::-1]), a[:, :2], trans=1),
        SQUARE,
    ),
    "triangles": (lambda a: scipy.linalg.lu(a[::-1])[1:], SQUARE),
    "a permuted triangle": (lambda a: scipy.linalg.lu(a[::-1], permute_l=True), SQUARE),
    "log determinant by LU": (
        lambda a: np.sum(np.log(np.abs(np.diag(scipy.linalg.lu_factor(a)[0])))),
        SQUARE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSFORMS)
def test_complex_numbers_and_transforms(name):
    function, *arrays = TRANSFORMS[name]
    assert worst_error(function, arrays) < 1e-8


@pytest.mark.parametrize("name", FILTERS)
def test_filters(name):
    function, *arrays = FILTERS[name]
    assert worst_error(function, arrays) < 1e-8


@pytest.mark.parametrize("name", GEOMETRY)
def test_distances_and_factors(name):
    function, *arrays = GEOMETRY[name]
    assert worst_error(function, arrays) < 1e-7


def test_a_spectral_loss_has_the_gradient_of_its_complex_twin():
    import torch

    def loss(x, h):
        spectrum = np.fft.rfft(x * np.hanning(12)) * np.fft.rfft(h, 12).conj()
        return np.sum(np.log1p(np.abs(spectrum) ** 2)) + np.sum(np.angle(spectrum[1:6]))

    found = trace(loss, (SIGNAL, SHORT), {}, {"x": SIGNAL, "h": SHORT}).backward()
    x, h = (torch.tensor(array, requires_grad=True) for array in (SIGNAL, SHORT))
    window = torch.from_numpy(np.hanning(12))
    spectrum = torch.fft.rfft(x * window) * torch.fft.rfft(h, 12).conj()
    twin = spectrum.abs().square().log1p().sum() + spectrum[1:6].angle().sum()
    for gradient, expected in zip(found.values(), torch.autograd.grad(twin, [x, h]), strict=True):
        np.testing.assert_allclose(gradient, expected.numpy(), rtol=1e-12, atol=1e-13)


def spectral(x, w, *, share=2.0):
    """Power of a filtered signal against a target, with its gradient by the adjoint transform."""
    residual = np.fft.fft(w * x)
    loss = np.sum(np.abs(residual) ** 2)
    return loss, share * x * np.real(np.fft.ifft(residual) * len(x))


@needs_torch
@pytest.mark.parametrize(("share", "verdict"), [(2.0, "pass"), (1.0, "fail")])
def test_a_check_of_a_spectral_loss_has_the_autograd_oracle(share, verdict):
    def target(w, x):
        return spectral(x, w, share=share)

    result = check(target, {"w": SIGNAL[::-1].copy(), "x": SIGNAL}, wrt=["w"])
    assert "autograd" in result.oracles
    assert result.verdict == verdict


def test_single_precision_stays_single():
    x = SIGNAL.astype(np.float32)
    found = trace(lambda x: np.sum(np.abs(np.fft.fft(x)) ** 2), (x,), {}, {"x": x}).backward()
    np.testing.assert_allclose(found["x"], 24.0 * x, rtol=1e-5)


class TestRefusals:
    @pytest.mark.parametrize(
        ("loss", "what"),
        [
            (lambda x: np.var(np.fft.fft(x)), "complex"),
            (lambda x: np.max(np.fft.fft(x)).real, "complex"),
            (lambda x: np.sum(np.fft.fft(x).view(float)), "dtype|complex|view"),
            (lambda x: np.linalg.svd(np.outer(x, x) * 1j)[1][0], "complex"),
            (lambda x: np.fft.fft(x)[0] * 1j, "complex"),
            (lambda x: np.sum(scipy.signal.lfilter(B, A, x, zi=np.zeros(2))[0]), "zi"),
            (lambda x: np.sum(scipy.signal.savgol_filter(np.tile(x, 200), 5, 2)), "2048"),
            (lambda x: distance.pdist(x[:, None], lambda a, b: a[0] - b[0])[0], "metric"),
        ],
    )  # fmt: skip
    def test_what_is_not_covered_is_named(self, loss, what):
        with pytest.raises(NotTraceable, match=what):
            trace(loss, (SIGNAL,), {}, {"x": SIGNAL})

    def test_writing_through_the_real_part_is_not_taken_for_written(self):
        def loss(x):
            z = np.zeros(12, dtype=complex)
            z += x
            z.real[:] = x**2
            return np.sum(np.abs(z) ** 2)

        with pytest.raises(ValueError, match="read-only"):
            trace(loss, (SIGNAL,), {}, {"x": SIGNAL})
        result = check(lambda x: (loss(x), 4 * x**3), {"x": SIGNAL})
        assert result.verdict == "pass"
        assert "autograd" not in result.oracles
