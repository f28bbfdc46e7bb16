from __future__ import annotations

import numpy as np

from text4seg.refine._permutohedral import Permutohedral


def test_the_lattice_filters_like_a_gaussian() -> None:
    random = np.random.default_rng(0)
    features, values = random.normal(size=(600, 3)), random.random(600)
    apart = ((features[:, None] - features[None]) ** 2).sum(-1)
    kernel = np.exp(-apart / 2)
    lattice = Permutohedral(features)
    found = lattice.filter(values) / lattice.filter(np.ones(600))
    expected = kernel @ values / kernel.sum(1)
    assert np.corrcoef(found, expected)[0, 1] > 0.9
    assert np.abs(found - expected).mean() < 0.03
