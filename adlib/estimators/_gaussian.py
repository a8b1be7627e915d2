"""A Gaussian at every position of the patch grid, learned in one pass.

With m the mean and S the covariance of what n images hold at a position, and e the
``regularization``, the squared Mahalanobis distance of x, with r = x - m, is

    r' (S + e I)^-1 r = |F r|^2,    F = L^-1,    S + e I = L L',

with F lower triangular (PaDiM, equations 1 and 2). Where there are few images S = A A'
with few columns A = (x_i - m) / sqrt(n - 1), and the same distance is that of ridge
regression, the least over all w of

    |w|^2 + |r - A w|^2 / e,    taken at w = F'F A'r,    A'A + e I = L L', F = L^-1.

That form holds A and a small F instead of a large one. No difference of large numbers
is taken, and since w is where the least is, its rounding counts only squared: about
(u v / e)^2 of the distance, with u = 2^-24 and v the largest variance in any direction.
"""

from __future__ import annotations

from typing import NamedTuple

from adlib._typing import Float32Array


class Gaussian(NamedTuple):
    """What scoring needs of the Gaussians at all positions.

    Attributes:
        mean: (n_positions, n_features) float32.
        factors: F, packed row by row, of 16 positions side by side,
            (n_blocks, k (k + 1) / 2, 16) float32, with k features or columns of A.
        spread: A, column by column, (n_blocks, k * n_features, 16) float32; None where
            F is the large one.
        regularization: e.
    """

    mean: Float32Array
    factors: Float32Array
    spread: Float32Array | None
    regularization: float

    @property
    def size(self) -> int:
        """Rows of F: features, or columns of A."""
        n_features: int = self.mean.shape[1]
        if self.spread is None:
            return n_features
        n_numbers: int = self.spread.shape[1]
        return n_numbers // n_features
