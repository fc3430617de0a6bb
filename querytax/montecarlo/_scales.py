"""Random scales of noise in [0, 1], of mean 1/2, for a block of samples."""

from __future__ import annotations

import numpy as np

from querytax.kernels import kernel
from querytax.montecarlo._blocks import normals
from querytax.montecarlo._philox import philox, uniform_pair

NO_SPREAD, ARCSINE, UNIFORM, BELL = 0, 1, 2, 3
FORMS = {"constant": NO_SPREAD, "arcsine": ARCSINE, "uniform": UNIFORM, "bell": BELL}


@kernel
def random_scale(out, first, form, lane, k0, k1):  # type: ignore[no-untyped-def]
    """A scale in [0, 1] for each sample, of mean 1/2."""
    out[:] = 0.5
    if form == ARCSINE:
        # Beta(1/2, 1/2): one square's share in two.
        a, b = np.empty(out.size), np.empty(out.size)
        normals(a, b, first, 0, lane, k0, k1)
        for i in range(out.size):
            out[i] = a[i] * a[i] / (a[i] * a[i] + b[i] * b[i])
    elif form != NO_SPREAD:
        for i in range(out.size):
            w0, w1, w2, w3 = philox(first + np.uint64(i), 0, lane, k0, k1)
            x, y = uniform_pair(w0, w1, w2, w3)
            w0, w1, w2, w3 = philox(first + np.uint64(i), 1, lane, k0, k1)
            z, _ = uniform_pair(w0, w1, w2, w3)
            # Beta(2, 2): the middle one of three uniforms.
            middle = max(min(x, y), min(max(x, y), z))
            out[i] = middle if form == BELL else x
