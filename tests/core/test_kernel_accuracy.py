"""Log densities against the slow reference: the accuracy promised in numerics, section 3."""

import weakref

import numpy as np
import pytest
from oracles import slow_em
from oracles.kernels import workspace_of
from oracles.random_mixtures import in_shape_of, random_covariance, random_mixture, random_rows

from gmmcli.core.covariances.matrices import are_sharper
from gmmcli.core.covariances.structure import EPS
from gmmcli.core.families import FAMILIES
from gmmcli.core.kernel import block, kernel
from gmmcli.core.kernel.block import SLAB_ROWS, choose_layout, prefers_centred
from gmmcli.core.kernel.constants import EXPANDED_ERROR
from gmmcli.core.kernel.kernel import Kernel
from gmmcli.core.mixture import Mixture
from gmmcli.core.rows import Rows


def log_densities(X, mixture):
    ready = Kernel(mixture)
    return ready.expectation(Rows(X), workspace_of(ready))[1]


def expand_whatever_it_costs(monkeypatch):
    """Let accuracy alone decide the form of a component, not speed."""
    for module in (block, kernel):
        monkeypatch.setattr(module, "prefers_centred", lambda *_, **__: False)


def relative_error(found, exact):
    return float((np.abs(found - exact) / np.maximum(1, np.abs(exact))).max())


@pytest.mark.parametrize("covariance_type", FAMILIES)
@pytest.mark.parametrize(("d", "n_components"), [(1, 1), (1, 3), (2, 5), (7, 3), (40, 2)])
@pytest.mark.parametrize("condition", [1.0, 1e3, 1e5, 1e6, 1e7])
def test_log_densities_agree_to_nine_digits_up_to_condition_1e7(covariance_type, d, n_components, condition):
    """Near the means and 1,000 sd away, log densities are within 1e-9·max(1, |log density|)."""
    rng = np.random.default_rng([d, n_components, int(condition)])
    mixture = random_mixture(rng, covariance_type, n_components, d, condition)
    X = np.concatenate([random_rows(rng, mixture, 60, spread) for spread in (1e-4, 1.0, 1e3)], axis=1)

    found = log_densities(X, mixture)

    assert relative_error(found, slow_em.log_density(X, mixture)) < 1e-9


@pytest.mark.parametrize("covariance_type", FAMILIES)
@pytest.mark.parametrize("distance", [1.0, 100.0, 1000.0])
@pytest.mark.parametrize("d", [1, 6, 30])
def test_just_below_the_bound_the_expanded_form_keeps_1e_9(covariance_type, distance, d, monkeypatch):
    """The bound estimates one rounding error of the largest term; the sum of all is within 1e-9."""
    expand_whatever_it_costs(monkeypatch)
    rng = np.random.default_rng(5)
    directions = rng.normal(size=(3, d))
    means = distance * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    smallest = 0.5 * EPS * distance**2 / (0.95 * EXPANDED_ERROR)
    rotation, _ = np.linalg.qr(rng.normal(size=(d, d)))
    turned = (rotation * smallest * np.linspace(1, 1.5, d)) @ rotation.T
    covariances = in_shape_of(covariance_type, np.broadcast_to((turned + turned.T) / 2, (3, d, d)))
    mixture = Mixture(np.full(3, 1 / 3), means, covariances, covariance_type)
    X = random_rows(rng, mixture, 100, np.sqrt(smallest))

    found = log_densities(X, mixture)

    assert not Kernel(mixture).is_centred.any()
    assert relative_error(found, slow_em.log_density(X, mixture)) < 1e-9


@pytest.mark.parametrize("condition", [1e8, 1e10, 1e12])
@pytest.mark.parametrize("d", [2, 10, 30])
def test_beyond_condition_1e7_the_error_grows_with_the_condition_only(d, condition):
    """A rotated covariance loses about d·eps·condition, and no more."""
    rng = np.random.default_rng([d, int(np.log10(condition))])
    mixture = random_mixture(rng, "full", 3, d, condition)
    X = random_rows(rng, mixture, 200)

    found = log_densities(X, mixture)

    assert relative_error(found, slow_em.log_density(X, mixture)) < max(1e-9, 4 * d * EPS * condition)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
@pytest.mark.parametrize("seed", range(5))
def test_a_condition_of_1e12_from_column_scales_alone_is_no_problem(covariance_type, seed):
    """Correlated columns whose sds differ by a factor of 1e6 keep nine digits."""
    rng = np.random.default_rng(seed)
    d = 6
    scale = rng.permutation(np.logspace(-6, 0, d))
    full = np.array([random_covariance(rng, d, 20.0) for _ in range(2)]) * scale[:, None] * scale
    means = rng.normal(size=(2, d))
    mixture = Mixture(np.array([0.4, 0.6]), means, in_shape_of(covariance_type, full), covariance_type)
    X = means[rng.choice(2, 300)].T + scale[:, None] * rng.normal(size=(d, 300))

    found = log_densities(X, mixture)

    assert relative_error(found, slow_em.log_density(X, mixture)) < 1e-9


@pytest.mark.parametrize("covariance_type", FAMILIES)
@pytest.mark.parametrize("d", [1, 30, 300])
def test_rows_a_million_sd_away_have_finite_and_right_densities(covariance_type, d):
    """Far rows neither overflow nor lose their posterior."""
    rng = np.random.default_rng(d)
    mixture = random_mixture(rng, covariance_type, 2, d)
    X = 1e6 * rng.choice([-1.0, 1.0], size=(d, 5))

    found = log_densities(X, mixture)

    assert np.isfinite(found).all()
    assert relative_error(found, slow_em.log_density(X, mixture)) < 1e-9


@pytest.mark.parametrize("covariance_type", FAMILIES)
@pytest.mark.parametrize("distance", [1.0, 1e6])
def test_two_thousand_columns_have_finite_and_right_densities(covariance_type, distance):
    """Rows at the means and far away; covariances whose inverse is known, so that long double costs nothing.

    Of Σ_ij = ρ^|i − j| the whitened columns are (z_i − ρ z_{i−1}) / √(1 − ρ²): an autoregression.
    """
    d, rng = 2000, np.random.default_rng(7)
    rho = {"full": [0.5, -0.3], "tied": [0.5, 0.5]}.get(covariance_type, [0.0, 0.0])
    lags = np.abs(np.subtract.outer(np.arange(d), np.arange(d)))
    full = np.array([np.power(r, lags, where=lags > 0, out=np.ones((d, d))) for r in rho])
    means = rng.normal(size=(2, d))
    mixture = Mixture([0.3, 0.7], means, in_shape_of(covariance_type, full), covariance_type)
    X = means[[0, 1, 0]].T + distance * rng.normal(size=(d, 3))

    found = log_densities(X, mixture)

    joint = []
    for weight, mean, r in zip([0.3, 0.7], means.astype(np.longdouble), np.longdouble(rho), strict=True):
        Z = X - mean[:, None]
        squared = Z[0] ** 2 + ((Z[1:] - r * Z[:-1]) ** 2).sum(axis=0) / (1 - r**2)
        log_det = (d - 1) * np.log(1 - r**2)
        joint.append(np.log(np.longdouble(weight)) - (d * slow_em.LOG_2PI + log_det + squared) / 2)
    assert np.isfinite(found).all()
    assert relative_error(found, np.logaddexp(*joint)) < 1e-9


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_sharp_and_broad_components_stand_side_by_side(covariance_type):
    """One mixture has components in centred form and in expanded form."""
    rng = np.random.default_rng(8)
    full = np.array([variance * random_covariance(rng, 3) for variance in (1.0, 1e-14, 1.0, 1e-12)])
    means = rng.normal(size=(4, 3))
    mixture = Mixture(np.full(4, 0.25), means, in_shape_of(covariance_type, full), covariance_type)
    sds = np.array([1.0, 1e-7, 1.0, 1e-6])
    label = rng.choice(4, 300)
    X = means[label].T + sds[label] * rng.normal(size=(3, 300))

    found = log_densities(X, mixture)

    if not mixture.family.is_equal:
        assert Kernel(mixture).is_centred.tolist() == [False, True, False, True]
    assert relative_error(found, slow_em.log_density(X, mixture)) < 1e-9


@pytest.mark.parametrize("covariance_type", FAMILIES)
@pytest.mark.parametrize(
    ("loss", "is_centred"), [(0.9 * EXPANDED_ERROR, False), (1.1 * EXPANDED_ERROR, True)]
)
def test_the_centred_form_starts_where_the_expanded_one_would_lose_1e_9(
    covariance_type, loss, is_centred, monkeypatch
):
    """The rule ½·eps·(‖μ‖² + tr Σ)·λmax(Σ⁻¹) > EXPANDED_ERROR holds for any rotation of Σ."""
    expand_whatever_it_costs(monkeypatch)
    rng = np.random.default_rng(3)
    d, distance = 5, 30.0
    mean = rng.normal(size=d)
    mean *= distance / np.linalg.norm(mean)
    # λmax(Σ⁻¹) = 1/smallest; the trace is negligible beside ‖μ‖² = 900 but not forgotten.
    smallest = 0.5 * EPS * distance**2 / loss
    eigenvalues = smallest * np.arange(1, d + 1)
    rotation, _ = np.linalg.qr(rng.normal(size=(d, d)))
    turned = (rotation * eigenvalues) @ rotation.T
    full = {"diag": np.diag(eigenvalues), "spherical": smallest * np.eye(d)}.get(
        covariance_type.removeprefix("tied-"), turned
    )
    mixture = Mixture(np.ones(1), mean[None], in_shape_of(covariance_type, full[None]), covariance_type)

    assert Kernel(mixture).is_centred.tolist() == [is_centred]


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
@pytest.mark.parametrize(
    ("loss", "is_centred"), [(0.9 * EXPANDED_ERROR, False), (1.1 * EXPANDED_ERROR, True)]
)
def test_a_component_at_the_origin_is_centred_for_its_own_breadth(covariance_type, loss, is_centred):
    """With μ = 0 the trace decides: rows of a long thin cluster are far from its mean."""
    full = np.diag([0.5 * EPS / loss, 1.0])
    mixture = Mixture(np.ones(1), np.zeros((1, 2)), in_shape_of(covariance_type, full[None]), covariance_type)

    assert Kernel(mixture).is_centred.tolist() == [is_centred]


def test_one_far_mean_makes_all_tied_components_centred():
    """Tied components share their covariance, and so their form."""
    means = np.array([[0.0, 0.0], [5000.0, 0.0]])
    mixture = Mixture(np.full(2, 0.5), means, np.eye(2), "tied")

    assert Kernel(mixture).is_centred.tolist() == [True, True]


@pytest.mark.parametrize(("d", "K"), [(64, 16), (150, 60), (300, 60)])
def test_wide_blocks_are_expanded_a_group_at_a_time(d, K):
    """φ of a whole tile never exists: a thread's arrays take a few megabytes."""
    mixture = Mixture(np.full(K, 1 / K), np.zeros((K, d)), np.broadcast_to(np.eye(d), (K, d, d)), "full")

    ready = Kernel(mixture)
    work = workspace_of(ready)

    whole = 8 * FAMILIES["full"].structure.expanded_length(d) * ready.layout.tile_rows
    assert not ready.is_centred.any()
    assert work.phi.nbytes < 8 * 2**20 < whole


def test_groups_together_say_what_the_reference_says():
    """Log densities and statistics of rows with many groups of features, in two passes."""
    rng = np.random.default_rng(8)
    mixture = random_mixture(rng, "full", 24, 150)
    X = random_rows(rng, mixture, 70)

    ready = Kernel(mixture)
    sums, found = ready.expectation(Rows(X), workspace_of(ready))
    statistics, resp = ready.statistics(sums), slow_em.expectation(X, mixture).resp

    assert not ready.is_centred.any()
    assert relative_error(found, slow_em.log_density(X, mixture)) < 1e-12
    for name, exact in (
        ("counts", resp.sum(axis=1)),
        ("sums", resp @ X.T),
        ("squares", np.einsum("kn,in,jn->kij", resp, X, X, optimize=True)),
    ):
        np.testing.assert_allclose(getattr(statistics, name), exact.astype(float), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_blocks_are_whole_tiles_and_tiles_are_whole_slabs(covariance_type):
    """All lengths are powers of two within 65,536 rows; wider rows have shorter tiles."""
    layouts = [
        choose_layout(FAMILIES[covariance_type].structure, d, K)
        for d in (1, 8, 64, 300)
        for K in (1, 16, 1000)
    ]

    for layout in layouts:
        lengths = (layout.slab_rows, layout.tile_rows, layout.block_rows)
        assert sorted(lengths) == list(lengths)
        assert layout.slab_rows <= layout.last_rows <= layout.block_rows
        assert 2 * layout.last_rows >= layout.tile_rows
        assert all(64 <= n <= 65_536 and n & (n - 1) == 0 for n in (*lengths, layout.last_rows))
    assert layouts[0].tile_rows > layouts[-1].tile_rows == SLAB_ROWS


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_component_of_weight_zero_gets_no_row_and_spoils_no_number(covariance_type):
    """Its log weight is −∞; all outputs are finite, and the others are the same as without it."""
    rng = np.random.default_rng(4)
    mixture = random_mixture(rng, covariance_type, 3, 2)
    weights = np.array([0.5, 0.0, 0.5])
    X = random_rows(rng, mixture, 100)
    with_zero = Mixture(weights, mixture.means, mixture.covariances, covariance_type)

    ready = Kernel(with_zero)
    work = workspace_of(ready)
    sums, found = ready.expectation(Rows(X), work)

    assert np.isfinite(found).all()
    assert all(np.isfinite(array).all() for array in sums.arrays)
    assert (work.log_resp[0, 1] == 0).all()
    assert relative_error(found, slow_em.log_density(X, with_zero)) < 1e-9


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_distances_are_exact_next_to_a_mean(covariance_type):
    """Mahalanobis distances keep their digits even at 1e-9 sd."""
    rng = np.random.default_rng(6)
    mixture = random_mixture(rng, covariance_type, 3, 4)
    X = np.concatenate([mixture.means.T + 1e-9, mixture.means.T, random_rows(rng, mixture, 20)], axis=1)

    ready = Kernel(mixture)
    found = ready.distances(workspace_of(ready).load(X))

    exact = np.sqrt(slow_em.distances(X, mixture)).astype(float)
    np.testing.assert_allclose(found, exact, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("covariance_type", "d", "K", "n_unsafe", "expected"),
    [
        ("full", 64, 4, 0, True),
        ("full", 64, 16, 0, False),
        ("full", 64, 16, 8, True),
        ("full", 16, 1, 0, True),
        ("full", 4, 1, 0, False),
        ("diag", 64, 2, 0, False),
        ("tied", 64, 2, 0, False),
    ],
)
def test_the_form_that_was_measured_to_be_faster_is_used(covariance_type, d, K, n_unsafe, expected):
    """Type, d, K and the number of unsafe components decide, so streams and tables agree."""
    assert prefers_centred(FAMILIES[covariance_type].structure, d, K, n_unsafe) == expected
    if n_unsafe == 0:
        mixture = random_mixture(np.random.default_rng(7), covariance_type, K, d)
        assert Kernel(mixture).is_centred.all() == expected


@pytest.mark.parametrize("variance", [1e-78, 1e-70, 1e82, 1e120])
@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_the_rule_holds_where_squares_of_precisions_leave_the_doubles(covariance_type, variance):
    """A mean 3e7 sd away is centred and right, for any scale of its variances."""
    correlation = np.array([[1.0, 0.5], [0.5, 1.0]])
    sd = np.sqrt(variance)
    mean = sd * np.array([3e7, -2e7])
    full = variance * correlation[None]
    mixture = Mixture(np.ones(1), mean[None], in_shape_of(covariance_type, full), covariance_type)
    X = mean[:, None] + sd * np.random.default_rng(9).normal(size=(2, 50))

    found = log_densities(X, mixture)

    assert Kernel(mixture).is_centred.tolist() == [True]
    assert relative_error(found, slow_em.log_density(X, mixture)) < 1e-9


def test_the_arrays_of_a_workspace_go_with_it():
    """They are freed at once, without the collector of cycles: only the table is larger."""
    ready = Kernel(random_mixture(np.random.default_rng(10), "full", 3, 4))
    work = workspace_of(ready)
    ready.expectation(Rows(np.zeros((4, 10))), work)
    watched = weakref.ref(work)

    del work

    assert watched() is None


@pytest.mark.parametrize("scale", [1e-80, 1.0, 1e80])
def test_sharpness_is_told_to_a_few_percent_at_any_scale(scale):
    """The largest eigenvalue of diag(1, 4)·scale² is above 3.9·scale² and not above 4.1·scale²."""
    factors = scale * np.array([[[1.0, 0.0], [0.0, 2.0]]])

    found = [are_sharper(factors, np.array([limit * scale**2]))[0] for limit in (3.9, 4.1)]

    assert found == [True, False]


def test_a_component_whose_precision_leaves_the_doubles_is_sharp():
    """Its squares are infinite, which exceeds any limit."""
    assert are_sharper(1e170 * np.eye(2)[None], np.array([1e300])).tolist() == [True]
