"""Regress: one measured quantity from features, by structure first and by what is alike second.

A ridge regression corrects the structural count part by part; a Gaussian process corrects what is
left by the designs that are most alike, and says how far that can be trusted. The interval is
conformal: the error that designs of networks unseen in a fit had, in units of the spread that the
process gave them, which needs no assumption about its shape (V. Vovk et al., "Algorithmic Learning
in a Random World", 2005; cross-validated as in R. F. Barber et al., "Predictive inference with the
jackknife+", Annals of Statistics 49(1), 2021).
"""

import warnings
from dataclasses import dataclass

import numpy as np

#: Share of measurements that the interval is to hold.
COVERAGE = 0.9
#: Fits without a part of the networks, from which the interval is taken.
FOLDS = 6
#: Strength of the ridge, in units of one design with all its cells in one part.
RIDGE = 0.3
#: Longest length of the process, in units of the distance of one spread in every feature.
LONGEST = 4.0
#: Least noise of a process, the square of a relative error: without it, designs that were measured
#: make everything near them look certain.
FLOOR = 4e-4
#: What a ridge may multiply structure by.
_CLIP = (0.3, 3.0)


@dataclass(frozen=True)
class Interval:
    """Predictions and the bounds between which `COVERAGE` of measurements are, float [n] each."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Kernel:
    """Covariance of a process: ``variance * exp(-d**2 / (2 * length**2))``, plus noise if d = 0."""

    variance: float
    length: float
    noise: float


class Regressor:
    """One positive quantity as ``base * (1 + shares @ w) * exp(process(features))``.

    base: what structure says, float [n]; shares: of it that each part takes, float [n, parts];
    features: float [n, k]. kernel: of the process; None fits it, too.
    """

    def __init__(self, kernel: Kernel | None = None) -> None:
        self.kernel = kernel

    def fit(self, base: np.ndarray, shares: np.ndarray, features: np.ndarray, y: np.ndarray,
            groups: np.ndarray) -> "Regressor":
        """Fit to measurements y [n]; a fold has all designs of a network (`groups`) or none."""
        from sklearn.model_selection import GroupKFold

        self._fit(base, shares, features, y)
        #: Logarithm of each measurement over its prediction by a fit without its network.
        self.errors = np.empty(len(y))
        spreads = np.empty(len(y))
        folds = GroupKFold(min(FOLDS, len(np.unique(groups))), shuffle=True, random_state=0)
        for train, check in folds.split(features, y, groups):
            part = Regressor(self.kernel)
            part._fit(base[train], shares[train], features[train], y[train])
            mean, spreads[check] = part._log(base[check], shares[check], features[check])
            self.errors[check] = np.log(y[check]) - mean
        scores = np.sort(np.abs(self.errors) / spreads)
        rank = int(np.ceil(COVERAGE * (len(scores) + 1))) - 1
        self.factor = float(scores[min(rank, len(scores) - 1)])
        return self

    def _fit(self, base, shares, features, y) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
        from sklearn.linear_model import Ridge
        from sklearn.preprocessing import StandardScaler

        self.ridge = Ridge(alpha=RIDGE, fit_intercept=False).fit(shares, y / base - 1)
        rest = np.log(y / base) - np.log(self._corrected(shares))
        self.scaler = StandardScaler().fit(features)
        points = self.scaler.transform(features)
        size = np.sqrt(points.shape[1])
        start = self.kernel or Kernel(float(max(rest.var(), 1e-5)), float(size),
                                      float(max(rest.var() / 10, 1e-5)))
        # A process that could vary more, over longer distances, would be a regression over all
        # features, of which there are too many for the designs that were measured.
        most = max(2 * start.variance, 1e-3)
        kernel = (ConstantKernel(start.variance, (1e-6, most))
                  * RBF(start.length, (0.2 * size, LONGEST * size))
                  + WhiteKernel(max(start.noise, FLOOR), (FLOOR, most)))
        self.process = GaussianProcessRegressor(
            kernel, optimizer=None if self.kernel else "fmin_l_bfgs_b")
        with warnings.catch_warnings():
            # of a best value that lies on a bound, which is what the bounds are for
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.process.fit(points, rest)
        if self.kernel is None:
            product, noise = self.process.kernel_.k1, self.process.kernel_.k2
            self.kernel = Kernel(float(product.k1.constant_value),
                                 float(product.k2.length_scale), float(noise.noise_level))

    def _corrected(self, shares: np.ndarray) -> np.ndarray:
        return np.clip(1 + self.ridge.predict(shares), *_CLIP)

    def _log(self, base, shares, features) -> tuple[np.ndarray, np.ndarray]:
        """Logarithms of the predictions, and their spread."""
        mean, spread = self.process.predict(self.scaler.transform(features), return_std=True)
        return np.log(base) + np.log(self._corrected(shares)) + mean, np.maximum(spread, 1e-4)

    def predict(self, base: np.ndarray, shares: np.ndarray, features: np.ndarray) -> Interval:
        """Predictions and their intervals."""
        mean, spread = self._log(base, shares, features)
        wide = self.factor * spread
        return Interval(np.exp(mean), np.exp(mean - wide), np.exp(mean + wide))
