"""What statsmodels ships for likelihoods: discrete, conditional, survival, mixed, latent models."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.library_cases.contract import LibraryCase, Objective, generator, negated

_ROWS = 30


def _design(columns: int = 3) -> tuple[np.ndarray, np.random.Generator]:
    rng = generator(13)
    return np.column_stack([np.ones(_ROWS), rng.normal(size=(_ROWS, columns - 1))]), rng


def _likelihood(model: Any, point: list[float] | np.ndarray) -> Objective:
    return negated(Objective(model.loglike, model.score, np.array(point, dtype=float)))


def _linear() -> Objective:
    import statsmodels.api as sm

    X, rng = _design()
    return _likelihood(sm.OLS(rng.normal(size=_ROWS), X), [0.4, -0.2, 0.7])


def _binary(name: str) -> Objective:
    import statsmodels.api as sm

    X, rng = _design()
    return _likelihood(getattr(sm, name)(rng.integers(2, size=_ROWS), X), [0.4, -0.5, 0.7])


def _multinomial() -> Objective:
    import statsmodels.api as sm

    X, rng = _design()
    model = sm.MNLogit(rng.integers(3, size=_ROWS), X)
    return _likelihood(model, [0.4, -0.5, 0.7, 0.1, 0.3, -0.6])


def _counts(name: str, extra: list[float], **options: Any) -> Objective:
    """Return a model of counts; ``extra`` holds its parameters beyond the coefficients."""
    discrete = import_module("statsmodels.discrete.discrete_model")
    X, rng = _design()
    model = getattr(discrete, name)(rng.poisson(2.0, size=_ROWS), X, **options)
    return _likelihood(model, [0.6, -0.2, 0.15, *extra])


def _zero_inflated(name: str, extra: list[float], **options: Any) -> Objective:
    models = import_module("statsmodels.discrete.count_model")
    X, rng = _design()
    y = rng.poisson(2.0, size=_ROWS) * rng.integers(2, size=_ROWS)
    model = getattr(models, name)(y, X, exog_infl=X[:, :2], **options)
    return _likelihood(model, [-0.3, 0.2, 0.6, -0.2, 0.15, *extra])


def _truncated(name: str, extra: list[float], **options: Any) -> Objective:
    models = import_module("statsmodels.discrete.truncated_model")
    X, rng = _design()
    y = rng.poisson(2.0, size=_ROWS)
    model = getattr(models, name)(y if name == "HurdleCountModel" else y + 1, X, **options)
    coefficients = [0.6, -0.2, 0.15]
    if name == "HurdleCountModel":
        coefficients = [*coefficients, 0.5, 0.1, -0.3]
    return _likelihood(model, [*coefficients, *extra])


def _truncated_repaired() -> Objective:
    """Return the same loss with the score of the truncated part taken at the model's own order."""
    from statsmodels.discrete.discrete_model import GeneralizedPoisson

    shipped = _truncated("TruncatedLFGeneralizedPoisson", [0.2])
    X, rng = _design()
    y = rng.poisson(2.0, size=_ROWS) + 1
    model, zero = GeneralizedPoisson(y, X, p=2), GeneralizedPoisson(np.zeros(_ROWS), X, p=2)

    def gradient(parameters: np.ndarray) -> np.ndarray:
        mass = np.exp(zero.loglikeobs(parameters))
        rest = zero.score_obs(parameters) * (mass / (1 - mass))[:, None]
        return -np.asarray(np.sum(model.score_obs(parameters) + rest, axis=0))

    return Objective(shipped.loss, gradient, shipped.point)


def _probit_inflation_repaired() -> Objective:
    """Return the same loss with its gradient derived by hand."""
    from scipy.stats import norm
    from statsmodels.discrete.discrete_model import Poisson

    shipped = _zero_inflated("ZeroInflatedPoisson", [], inflation="probit")
    X, rng = _design()
    y = rng.poisson(2.0, size=_ROWS) * rng.integers(2, size=_ROWS)
    model, Z = Poisson(y, X), X[:, :2]

    def gradient(parameters: np.ndarray) -> np.ndarray:
        inflated, coefficients = parameters[:2], parameters[2:]
        w, density = norm.cdf(Z @ inflated), norm.pdf(Z @ inflated)
        mass = np.exp(model.loglikeobs(coefficients))
        likelihood = w * (y == 0) + (1 - w) * mass
        by_w = density * ((y == 0) - mass) / likelihood
        by_model = model.score_obs(coefficients) * ((1 - w) * mass / likelihood)[:, None]
        return -np.concatenate([by_w @ Z, by_model.sum(axis=0)])

    return Objective(shipped.loss, gradient, shipped.point)


def _censored(name: str, extra: list[float]) -> Objective:
    models = import_module("statsmodels.discrete.truncated_model")
    X, rng = _design()
    model = getattr(models, name)(rng.integers(2, size=_ROWS), X)
    return _likelihood(model, [0.6, -0.2, 0.15, *extra])


def _conditional(name: str) -> Objective:
    models = import_module("statsmodels.discrete.conditional_models")
    X, rng = _design()
    groups = np.repeat(np.arange(10), 3)
    if name == "ConditionalLogit":
        y = np.tile([0, 1, 1, 0, 1, 0], 5)
    elif name == "ConditionalPoisson":
        y = rng.poisson(2.0, size=_ROWS) + (np.arange(_ROWS) % 3 == 0)
    else:
        y = np.tile([0, 1, 2, 2, 1, 0], 5)
    model = getattr(models, name)(y, X[:, 1:], groups=groups)
    return _likelihood(
        model, [0.4, -0.3] if name != "ConditionalMNLogit" else [0.4, -0.3, 0.2, 0.5]
    )


def _hazards(ties: str) -> Objective:
    from statsmodels.duration.hazard_regression import PHReg

    X, rng = _design()
    times = np.ceil(4 * rng.exponential(size=_ROWS))
    model = PHReg(times, X[:, 1:], status=rng.integers(2, size=_ROWS), ties=ties)
    return _likelihood(model, [0.3, -0.4])


def _factors() -> Objective:
    from statsmodels.multivariate.factor import Factor

    rng = generator(14)
    data = rng.normal(size=(40, 2)) @ rng.normal(size=(2, 5)) + rng.normal(size=(40, 5))
    model = Factor(data, n_factor=2, method="ml")
    return _likelihood(model, np.concatenate([rng.uniform(0.6, 1.2, 5), rng.normal(size=10) / 2]))


def _mixed(*, use_sqrt: bool, profile: bool) -> Objective:
    """Return a mixed linear model with a random intercept and slope."""
    from statsmodels.regression.mixed_linear_model import MixedLM, MixedLMParams

    X, rng = _design()
    model = MixedLM(
        rng.normal(size=_ROWS), X, np.repeat(np.arange(6), 5), X[:, :2], use_sqrt=use_sqrt
    )

    model.cov_pen = model.fe_pen = model._freepat = None  # as fitting without penalties sets them

    def parameters(packed: np.ndarray) -> Any:
        return MixedLMParams.from_packed(
            np.array(packed), model.k_fe, model.k_re, use_sqrt, has_fe=not profile
        )

    covariance = [0.9, 0.2, 0.7]
    return negated(
        Objective(
            lambda p: model.loglike(parameters(p), profile_fe=profile),
            lambda p: model.score(parameters(p), profile_fe=profile),
            np.array(covariance if profile else [0.3, -0.2, 0.4, *covariance]),
        )
    )


def _process(*, noise: bool) -> Objective:
    """Return a Gaussian process regression whose covariance depends on covariates."""
    from statsmodels.regression.process_regression import ProcessMLE

    X, rng = _design()
    model = ProcessMLE(
        rng.normal(size=_ROWS),
        X,
        X[:, :2],
        X[:, :2],
        X[:, :1] if noise else None,
        np.tile(np.arange(5.0), 6) + 0.1 * rng.normal(size=_ROWS),
        np.repeat(np.arange(6), 5),
    )
    point = [0.3, -0.2, 0.4, 0.1, 0.2, -0.1, 0.15, -0.4]
    return _likelihood(model, point if noise else point[:-1])


def _beta() -> Objective:
    from statsmodels.othermod.betareg import BetaModel

    X, rng = _design()
    return _likelihood(
        BetaModel(rng.beta(2, 3, size=_ROWS), X, exog_precision=X[:, :2]),
        [0.2, -0.3, 0.4, 1.1, 0.2],
    )


def _bayesian(name: str) -> Objective:
    """Return the log posterior of a generalised linear mixed model."""
    from scipy import sparse

    models = import_module("statsmodels.genmod.bayes_mixed_glm")
    X, rng = _design()
    y = rng.integers(2, size=_ROWS) if name.startswith("Binomial") else rng.poisson(2.0, _ROWS)
    model = getattr(models, name)(
        y, X, sparse.csr_matrix(np.eye(5)[np.repeat(np.arange(5), 6)]), np.zeros(5, dtype=int)
    )
    point = np.concatenate([[0.3, -0.4, 0.2, -0.3], rng.normal(size=5) / 2])
    return negated(Objective(model.logposterior, model.logposterior_grad, point))


def _evidence_bound(name: str) -> Objective:
    """Return the evidence lower bound of the same, by means and standard deviations."""
    from scipy import sparse

    models = import_module("statsmodels.genmod.bayes_mixed_glm")
    X, rng = _design()
    y = rng.integers(2, size=_ROWS) if name.startswith("Binomial") else rng.poisson(2.0, _ROWS)
    model = getattr(models, name)(
        y, X, sparse.csr_matrix(np.eye(5)[np.repeat(np.arange(5), 6)]), np.zeros(5, dtype=int)
    )
    means = np.concatenate([[0.3, -0.4, 0.2, -0.3], rng.normal(size=5) / 2])
    deviations = rng.uniform(0.3, 0.8, size=9)

    def gradient(x: np.ndarray) -> np.ndarray:
        return np.concatenate(model.vb_elbo_grad(*x.copy()))

    return negated(
        Objective(
            lambda x: model.vb_elbo(*x.copy()),
            lambda x: gradient(x).reshape(2, 9),
            np.stack([means, deviations]),
        )
    )


def _case(name: str, make: Any, *arguments: Any, **options: Any) -> LibraryCase:
    return LibraryCase(f"statsmodels.{name}", partial(make, *arguments, **options))


CASES = (
    _case("OLS", _linear),
    _case("Logit", _binary, "Logit"),
    _case("Probit", _binary, "Probit"),
    _case("MNLogit", _multinomial),
    _case("Poisson", _counts, "Poisson", []),
    _case("NegativeBinomial, nb2", _counts, "NegativeBinomial", [0.7], loglike_method="nb2"),
    _case("NegativeBinomial, nb1", _counts, "NegativeBinomial", [0.7], loglike_method="nb1"),
    _case(
        "NegativeBinomial, geometric", _counts, "NegativeBinomial", [], loglike_method="geometric"
    ),
    _case("NegativeBinomialP, 1.4", _counts, "NegativeBinomialP", [0.7], p=1.4),
    _case("GeneralizedPoisson, 1", _counts, "GeneralizedPoisson", [0.2], p=1),
    _case("GeneralizedPoisson, 2", _counts, "GeneralizedPoisson", [0.2], p=2),
    _case("ZeroInflatedPoisson", _zero_inflated, "ZeroInflatedPoisson", []),
    LibraryCase(
        "statsmodels.ZeroInflatedPoisson, probit",
        partial(_zero_inflated, "ZeroInflatedPoisson", [], inflation="probit"),
        "for probit inflation the score is a one-sided difference, good to seven digits",
        _probit_inflation_repaired,
    ),
    _case(
        "ZeroInflatedGeneralizedPoisson", _zero_inflated, "ZeroInflatedGeneralizedPoisson", [0.2]
    ),
    _case("ZeroInflatedNegativeBinomialP", _zero_inflated, "ZeroInflatedNegativeBinomialP", [0.7]),
    _case("TruncatedLFPoisson", _truncated, "TruncatedLFPoisson", []),
    _case("TruncatedLFNegativeBinomialP", _truncated, "TruncatedLFNegativeBinomialP", [0.7]),
    _case(
        "TruncatedLFGeneralizedPoisson, 1", _truncated, "TruncatedLFGeneralizedPoisson", [0.2], p=1
    ),
    LibraryCase(
        "statsmodels.TruncatedLFGeneralizedPoisson, 2",
        partial(_truncated, "TruncatedLFGeneralizedPoisson", [0.2], p=2),
        "the score of the truncated part is that of order 1, whatever the order of the model; "
        "2 is the default",
        _truncated_repaired,
    ),
    _case("HurdleCountModel", _truncated, "HurdleCountModel", []),
    _case("censored Poisson", _censored, "_RCensoredPoisson", []),
    _case("censored NegativeBinomialP", _censored, "_RCensoredNegativeBinomialP", [0.7]),
    _case("censored GeneralizedPoisson", _censored, "_RCensoredGeneralizedPoisson", [0.2]),
    _case("ConditionalLogit", _conditional, "ConditionalLogit"),
    _case("ConditionalPoisson", _conditional, "ConditionalPoisson"),
    _case("ConditionalMNLogit", _conditional, "ConditionalMNLogit"),
    _case("PHReg, Breslow", _hazards, "breslow"),
    _case("PHReg, Efron", _hazards, "efron"),
    _case("Factor", _factors),
    _case("MixedLM, covariance", _mixed, use_sqrt=False, profile=False),
    _case("MixedLM, root of the covariance", _mixed, use_sqrt=True, profile=False),
    _case("MixedLM, profiled", _mixed, use_sqrt=True, profile=True),
    _case("ProcessMLE", _process, noise=False),
    _case("ProcessMLE with noise", _process, noise=True),
    _case("BetaModel", _beta),
    _case("BinomialBayesMixedGLM, posterior", _bayesian, "BinomialBayesMixedGLM"),
    _case("PoissonBayesMixedGLM, posterior", _bayesian, "PoissonBayesMixedGLM"),
    _case("BinomialBayesMixedGLM, evidence", _evidence_bound, "BinomialBayesMixedGLM"),
    _case("PoissonBayesMixedGLM, evidence", _evidence_bound, "PoissonBayesMixedGLM"),
)
