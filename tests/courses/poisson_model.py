import numpy as np
from scipy.special import gammaln


class Poisson:
    def __init__(self, endog, exog):
        self.endog = np.asarray(endog)
        self.exog = np.asarray(exog)

    def loglike(self, params):
        XB = np.dot(self.exog, params)
        return np.sum(-np.exp(XB) + self.endog * XB - gammaln(self.endog + 1))

    def loglikeobs(self, params):
        XB = np.dot(self.exog, params)
        return -np.exp(XB) + self.endog * XB - gammaln(self.endog + 1)

    def score(self, params):
        L = np.exp(np.dot(self.exog, params))
        return np.dot(self.endog - L, self.exog)

    def score_obs(self, params):
        L = np.exp(np.dot(self.exog, params))
        return (self.endog - L)[:, None] * self.exog

    def hessian(self, params):
        L = np.exp(np.dot(self.exog, params))
        return -np.dot(L * self.exog.T, self.exog)


rng = np.random.default_rng(0)
X = np.column_stack([np.ones(30), rng.normal(size=(30, 2))])
mod = Poisson(rng.poisson(2.0, size=30), X)
