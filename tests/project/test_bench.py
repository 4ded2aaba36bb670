"""The benchmark suite reports what it measured: seeds, medians, verdicts, and the page made of them."""

import importlib
import os
import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "bench"


@pytest.fixture(autouse=True)
def _find_the_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCH)


def load(name: str) -> ModuleType:
    return importlib.import_module(name)


def measured(shape: tuple, ours: dict[str, list[float]], theirs: dict[str, list[float]]) -> dict:
    """Return what the turns of one shape would leave behind."""
    return {
        "shape": asdict(load("problems").Shape(*shape)),
        "seconds": {"gmmcli": ours, "scikit-learn": theirs},
        "passes": {n: [second / 8 for second in seconds] for n, seconds in ours.items()},
        "log_likelihoods": {"gmmcli": [-2.0], "scikit-learn": [-2.0 - 1e-9]},
    }


def test_the_committed_page_is_that_of_the_committed_results() -> None:
    """RESULTS.md is what the files in results/ say, and nothing was changed by hand (else: make bench)."""
    report = load("report")

    assert (BENCH / "RESULTS.md").read_text() == report.render_page(report.read_results(BENCH / "results"))


def test_a_part_that_was_not_measured_names_the_command_that_does() -> None:
    """A page without results has every section and every target, and hides nothing."""
    report = load("report")

    page = report.render_page({})

    assert page.count("Not measured yet: `make bench`.") == 3
    assert page.count("Not measured yet: `make bench-full`.") == 3
    assert page.count("| not measured |") == sum(len(part.targets(None)) for part in report.PARTS)


def test_results_that_are_written_are_read_back(tmp_path: Path) -> None:
    """A part's file keeps its result, and leaves those of the others alone."""
    report = load("report")
    first, second, *_ = report.PARTS

    report.write_result(tmp_path, first, {"figure": 0.1})
    report.write_result(tmp_path, second, {"words": "n · d"})
    report.write_result(tmp_path, first, {"figure": 0.2})

    assert report.read_results(tmp_path) == {first.name: {"figure": 0.2}, second.name: {"words": "n · d"}}


def test_medians_of_the_better_number_of_threads_are_compared() -> None:
    """One turn that was disturbed counts for nothing, nor do threads that do not help."""
    turns = load("turns")
    one = measured((1000, 2, 3), {"1": [2.0, 2.2, 9.0], "2": [1.0, 0.5, 1.1]}, {"1": [8.0], "2": [9.0]})

    assert turns.ratio(one) == 8.0
    assert turns.speedup(one) == 2.2
    assert turns.speedup_of_pass(one) == pytest.approx(2.2)
    assert turns.disagreement(one) == pytest.approx(5e-10, rel=1e-6)


def test_a_program_that_settles_runs_on_with_the_threads_that_were_fastest_at_first() -> None:
    """Any other runs with all of them in every turn."""
    settled, steady = load("turns").Plan(3, (1, 2), settles=True), load("turns").Plan(2, (1, 2))
    seconds = {"1": [2.0], "2": [1.5]}

    assert [settled.threads_of_turn(i, seconds) for i in range(4)] == [(1, 2), (2,), (2,), ()]
    assert [steady.threads_of_turn(i, seconds) for i in range(3)] == [(1, 2), (1, 2), ()]


def test_what_was_missed_is_said_to_be_missed() -> None:
    """A target stands with its figure and a verdict, whichever way it went."""
    iterations = load("iterations")
    slow = measured((1000, 2, 3), {"1": [1.0], "2": [0.5]}, {"1": [2.0]})
    fast = measured((1000, 20, 3), {"1": [1.0], "2": [0.5]}, {"1": [100.0]})

    targets = iterations.targets({"installed": [slow, fast], "forced": []})
    verdicts = {target.figure: (target.measured, target.verdict) for target in targets}

    assert verdicts["geometric mean of the ratios of the full shapes"] == ("28.3", "met")
    assert verdicts["lowest ratio of the full shapes"] == ("4.00", "met")
    assert verdicts["ratio, tied"] == (None, "not measured")
    fast["seconds"]["scikit-learn"]["1"] = [1.0]
    assert "**missed**" in [
        target.verdict for target in iterations.targets({"installed": [slow, fast], "forced": []})
    ]


def test_a_likelihood_that_is_lower_is_said_in_bold() -> None:
    """Being done first is no merit where the other program came further; a last digit is no difference."""
    likelihood, children = load("likelihood"), load("children")

    def result(script: float) -> dict:
        one = {"seconds": 2.0, "peak_bytes": 1, "fit_s": 1.5, "predict_s": 0.5, "steps": 9}
        reached = {children.GMMCLI: -4.0, children.SKLEARN: script, children.MLPACK: -4.5}
        runs = {program: [one | {"log_likelihood": log}] for program, log in reached.items()}
        return {"shape": asdict(load("problems").Shape(1_000, 2, 3)), "runs": runs}

    ahead, behind = result(-4.0 - 1e-9), result(-3.9)

    assert not any("lower" in line for line in likelihood.render(ahead))
    assert likelihood.targets(ahead)[1].verdict == "met"
    assert (
        "**gmmcli's likelihood is lower than that of scikit-learn, by 0.100000 per row.**"
        in likelihood.render(behind)
    )
    assert likelihood.targets(behind)[1].verdict == "**missed**"


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_a_problem_is_the_same_whenever_it_is_drawn(kind: str) -> None:
    """Its shape is its seed, its columns are in standard units, and every component starts in their midst."""
    problems = load("problems")

    first, second = (problems.draw(problems.Shape(600, 4, 3, kind)) for _ in range(2))

    assert first.X.tobytes() == second.X.tobytes()
    assert first.start.means.tobytes() == second.start.means.tobytes()
    # Rounding of 600 terms of size 1.
    np.testing.assert_allclose([first.X.mean(axis=0), first.X.std(axis=0)], [[0] * 4, [1] * 4], atol=1e-12)
    assert problems.draw(problems.Shape(600, 4, 3)).X.tobytes() == first.X.tobytes()


def test_a_part_runs_from_its_worker_to_its_section() -> None:
    """The share of the machine, which needs no other program, is measured and rendered at its small size."""
    share = load("share")

    result = share.measure(True, lambda text: None)

    assert {one["threads"] for one in result["measured"]} >= {1}
    assert all(seconds > 0 for one in result["measured"] for seconds in one["seconds"])
    assert result["machine"]["programs"]["gmmcli"]["kernel"]
    assert any(line.startswith("| 2k, 4, 3 | 1 | ") for line in share.render(result))


def test_iterations_are_the_same_for_any_number_of_threads() -> None:
    """The worker answers with one likelihood whatever the threads, and says why where it cannot answer."""
    children = load("children")

    with children.Worker("gmmcli") as worker:
        worker.ask("prepare", shape=asdict(load("problems").Shape(9_000, 3, 2)))
        likelihoods = {worker.ask("run", threads=threads)["log_likelihood"] for threads in (1, 2)}
        with pytest.raises(RuntimeError, match="gmmcli: nothing: AttributeError"):
            worker.ask("nothing")

    assert len(likelihoods) == 1


def test_the_launcher_reports_the_memory_of_its_child_alone(tmp_path: Path) -> None:
    """A child that fills 64 MiB has held them, and an idle one has not held what this process does."""
    children = load("children")
    fill = "print(len(bytearray(b'x') * (64 << 20)))"

    full = children.run([sys.executable, "-c", fill], tmp_path, "printed")
    idle = children.run([sys.executable, "-c", "pass"], tmp_path)

    assert (tmp_path / "printed").read_text() == f"{64 << 20}\n"
    assert 64 << 20 < full.peak_bytes < 128 << 20
    assert idle.peak_bytes < 40 << 20
    with pytest.raises(RuntimeError, match="failed: "):
        children.run([sys.executable, "-c", "raise SystemExit(3)"], tmp_path)


def test_a_child_starts_as_it_was_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What steers BLAS here does not reach it, but for the kernel that the suite itself asks for."""
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    children = load("children")

    assert not {"OPENBLAS_CORETYPE", "OMP_NUM_THREADS"} & set(children.environment())
    assert children.environment("Haswell")["OPENBLAS_CORETYPE"] == "Haswell"
    assert children.environment().items() <= dict(os.environ).items()


def test_a_process_that_imports_gmmcli_is_told_what_the_command_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One thread of BLAS and the command's kernel; other programs start as they were installed."""
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    children = load("children")
    monkeypatch.setattr(children, "kernel_of_command", lambda: "SkylakeX")

    told = {program: children.environment_of(program, None) for program in ("gmmcli", "scikit-learn")}

    assert told["gmmcli"].items() >= {"OPENBLAS_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "SkylakeX"}.items()
    assert told["scikit-learn"] == children.environment()
    assert children.environment_of("gmmcli", "Haswell")["OPENBLAS_CORETYPE"] == "Haswell"
