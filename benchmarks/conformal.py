"""Hold the conformal threshold to its promise, over many calibrations.

    python benchmarks/conformal.py

For each distribution of scores, number of normal images and promised rate, draws 2,000
calibrations and reads the false-positive rate of each threshold off the distribution
itself, not off samples. Prints the mean of these rates with its standard error, the
share that 5 and 95 % of calibrations stay below, and beside it what the Beta
distribution predicts for scores that do not tie. Ends with an error where a mean is
above the promise by more than four standard errors. Takes seconds.
"""

from __future__ import annotations

import sys

import numpy as np
from scipy import stats

from adlib.thresholds import conformal_rate_interval, conformal_threshold, lowest_rate

N_CALIBRATIONS = 2000
SEED = 0
NUMBERS = (19, 39, 100, 500)
RATES = (0.01, 0.05, 0.1)
DISTRIBUTIONS = {
    "normal": stats.norm(),
    "log-normal": stats.lognorm(1.0),
    "Cauchy": stats.cauchy(),
    "Poisson(3), ties": stats.poisson(3),
    "Poisson(30), ties": stats.poisson(30),
}
HEADER = (
    "| scores | n | promised | mean rate | standard error | 5 to 95 % of calibrations "
    "| Beta mean | Beta 5 to 95 % |"
)


def rates_of(name, n_normal, rate):
    """Return the false-positive rate of each calibration, exactly."""
    distribution = DISTRIBUTIONS[name]
    # Of its own seed: else rising functions of the same draws give the same rates.
    rng = np.random.default_rng([SEED, *name.encode(), n_normal, round(rate * 1e6)])
    draws = distribution.rvs((N_CALIBRATIONS, n_normal), random_state=rng)
    return distribution.sf([conformal_threshold(scores, rate) for scores in draws])


def main() -> int:
    print(HEADER)
    print("|---" * HEADER.count(" | ") + "|---|")
    broken = 0
    for name in DISTRIBUTIONS:
        for n_normal in NUMBERS:
            for rate in RATES:
                if rate < lowest_rate(n_normal):
                    continue
                found = rates_of(name, n_normal, rate)
                error = found.std(ddof=1) / np.sqrt(N_CALIBRATIONS)
                low, high = np.quantile(found, [0.05, 0.95])
                beta = conformal_rate_interval(n_normal, rate, 0.9)
                broken += found.mean() > rate + 4 * error
                print(
                    f"| {name} | {n_normal} | {rate:.1%} | {found.mean():.2%} "
                    f"| {error:.2%} | {low:.2%} to {high:.2%} | {beta.mean:.2%} "
                    f"| {beta.low:.2%} to {beta.high:.2%} |"
                )
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
