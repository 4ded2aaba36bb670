"""Valid checkpoints of every covariance type, small and consistent enough to pass `check full`."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gmmcli.core.families import CovarianceType
from gmmcli.core.mixture import Mixture
from gmmcli.core.statistics import Statistics
from gmmcli.core.units import Units
from gmmcli.store.checkpoint import N_QUANTILES, Checkpoint, OperandRecord, Provenance

Build = Callable[..., Checkpoint]


def _covariances(covariance_type: CovarianceType, n_components: int, n_features: int, rng: Any) -> np.ndarray:
    factors = rng.normal(size=(n_components, n_features, n_features)) / 4
    full = factors @ factors.transpose(0, 2, 1) + np.eye(n_features) / 2
    if covariance_type.startswith("tied-"):
        full = np.broadcast_to(full[0], full.shape)
    return {
        "full": full,
        "tied": full[0],
        "diag": np.diagonal(full, axis1=1, axis2=2).copy(),
        "spherical": full[:, 0, 0].copy(),
    }[covariance_type.removeprefix("tied-")]


def _statistics(state: Mixture, n_rows: int) -> Statistics:
    """Return statistics of n_rows rows whose maximisation would give back `state`."""
    counts = state.weights * n_rows
    weight = {"full": counts[:, None, None], "tied": n_rows, "diag": counts[:, None], "spherical": counts}
    return Statistics(
        counts=counts,
        sums=np.zeros(state.means.shape),
        squares=state.covariances * weight[state.covariance_type.removeprefix("tied-")],
        reference=np.array(state.means),
        log_likelihood=-1.25 * n_rows,
        rows=n_rows,
        log_max_posterior=-0.125 * n_rows,
        total_weight=float(counts.sum()),
        covariance_type=state.covariance_type,
    )


@pytest.fixture(scope="session")
def build() -> Build:
    """Return a maker of valid checkpoints; keywords replace fields."""

    def make(
        covariance_type: CovarianceType = "full",
        n_components: int = 3,
        n_features: int = 2,
        seed: int = 0,
        **changes: Any,
    ) -> Checkpoint:
        rng = np.random.default_rng(seed)
        weights = rng.uniform(0.5, 1.5, n_components)
        state = Mixture(
            weights / weights.sum(),
            rng.normal(size=(n_components, n_features)),
            _covariances(covariance_type, n_components, n_features, rng),
            covariance_type,
        )
        scale = rng.uniform(0.01, 100, n_features)
        if covariance_type.endswith("spherical"):
            scale[:] = scale[0]
        units = Units(rng.normal(size=n_features) * 1000, scale)
        checkpoint = Checkpoint(
            state=state,
            mixture=units.to_table(state),
            units=units,
            statistics=_statistics(state, 150),
            features=tuple(f"spalte {i} [µm]" for i in range(n_features)),
            weights_column="w",
            global_step=41,
            converged=True,
            settings={"tol": 1e-6, "init": "auto", "params": "wmc"},
            log_likelihoods=np.linspace(-300, -187.5, 41),
            stopping=np.array([-1.2501, -1.25005, -1.25]),
            operands=(OperandRecord("data/geyser.csv", 4711, 150, "ab" * 32),),
            quantiles=np.linspace(-9.5, 0.5, N_QUANTILES),
        )
        return replace(checkpoint, **changes)

    return make


@pytest.fixture(scope="session")
def provenance() -> Provenance:
    """Return the provenance of a first checkpoint."""
    return Provenance(1, "", "0123456789abcdef" * 2, "2001-02-03T04:05:06Z", {"gmmcli": "1.0.0"}, "SkylakeX")
