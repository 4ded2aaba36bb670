"""The output of inspect, as text for people and as JSON for programs."""

import csv
import io
import math
import re
from typing import Any

from gmmcli.cli.render import rows_text, to_json
from gmmcli.fitting.candidate import Candidate
from gmmcli.jobs import inspect as job
from gmmcli.remedies import in_shell, printable
from gmmcli.store.verify import Finding
from gmmcli.tables.wording import counted

_COLUMNS_SHOWN = 8
# The length of the longest bar.
_BAR = 20
_SPELT_BYTE = re.compile(r"\\udc([89a-f][0-9a-f])")
# What the JSON tells of each checkpoint file.
_OF_A_FILE = ("checkpoint", "global_step", "created", "bytes", "digest")


def as_json(report: job.InspectReport, kept: list[job.Kept]) -> str:
    """Return the JSON of inspect without options."""
    checkpoint, provenance, fitness = report.checkpoint, report.provenance, report.fitness
    mixture, narrowest = checkpoint.mixture, checkpoint.units.narrowest
    items: dict[str, Any] = {
        **_head(report),
        "content_digest": report.content_digest,
        "format_version": provenance.format_version,
        "lineage": provenance.lineage,
        "created": provenance.created,
        "versions": {**provenance.versions, "blas_kernel": provenance.blas_kernel},
        "global_step": checkpoint.global_step,
        "converged": checkpoint.converged,
        "components": mixture.n_components,
        "covariance_type": mixture.covariance_type,
        "features": list(checkpoint.features),
        "weights": mixture.weights.tolist(),
        "means": mixture.means.tolist(),
        "covariances": mixture.covariances.tolist(),
        "min_sds": None if narrowest is None else narrowest.tolist(),
        "log_likelihood": fitness.log_likelihood,
        "mean_log_likelihood": fitness.mean_log_likelihood,
        "approximate": checkpoint.memory.approximate,
        "rows": fitness.rows,
        "total_weight": fitness.total_weight,
        "n_parameters": fitness.n_parameters,
        "aic": fitness.aic,
        "bic": fitness.bic,
        "icl": fitness.icl,
        "settings": dict(checkpoint.settings),
        "checkpoints": [{name: getattr(file, name) for name in _OF_A_FILE} for file in kept],
    }
    return to_json("gmmcli.inspect/1", items, {"min_sds": "not_applicable"})


def summary(report: job.InspectReport, generations: list[int]) -> str:
    """Return the text of inspect without options."""
    checkpoint, fitness, mixture = report.checkpoint, report.fitness, report.checkpoint.mixture
    state = "converged" if checkpoint.converged else "not converged"
    about = ", approximate" if checkpoint.memory.approximate else ""
    facts = {
        "model": f"{report.model_dir}, checkpoint {report.generation} of {report.provenance.created}",
        "mixture": f"{counted(mixture.n_components, 'component')}, {mixture.covariance_type} covariances",
        "columns": ", ".join(checkpoint.features),
        "training": f"{counted(checkpoint.global_step, 'step')}, {state}, {counted(fitness.rows, 'row')}",
        "tables": _names([operand.name for operand in checkpoint.operands]),
        "log-likelihood": f"{fitness.log_likelihood:.6f} ({fitness.mean_log_likelihood:.6f} per row{about})",
        "bic, aic": f"{fitness.bic:.4f}, {fitness.aic:.4f} ({fitness.n_parameters} parameters)",
        "checkpoints": ", ".join(map(str, generations)),
    }
    width = max(map(len, facts))
    lines = [f"{name:<{width}}  {printable(fact)}" for name, fact in facts.items()]
    return "\n".join([*lines, "", *_component_lines(report)]) + "\n"


def _component_lines(report: job.InspectReport) -> list[str]:
    """Return weight, mean and standard deviation of every component as a table; wide tables are cut."""
    checkpoint = report.checkpoint
    shown = [printable(name) for name in checkpoint.features[:_COLUMNS_SHOWN]]
    rows = [["component", "weight", *shown]]
    sds = job.standard_deviations(checkpoint.mixture)
    for k, (weight, mean, sd) in enumerate(
        zip(checkpoint.mixture.weights, checkpoint.mixture.means, sds, strict=True)
    ):
        cells = [_mean_and_sd(m, s) for m, s in zip(mean[: len(shown)], sd[: len(shown)], strict=True)]
        rows.append([str(k), f"{weight:.4f}", *cells])
    lines = aligned(rows)
    hidden = len(checkpoint.features) - len(shown)
    return [*lines, f"({counted(hidden, 'more column')}: --variable means)"] if hidden else lines


def aligned(rows: list[list[str]]) -> list[str]:
    """Return rows of cells as lines whose cells end below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]


def _mean_and_sd(mean: float, sd: float) -> str:
    """Return mean and standard deviation; the mean is precise to a hundredth of the latter."""
    digits = 5
    if 0 < sd < abs(mean):
        digits = min(max(digits, math.ceil(math.log10(abs(mean) / sd)) + 2), 17)
    return f"{mean:.{digits}g} ± {sd:.3g}"


def variables(report: job.InspectReport, *, as_json: bool) -> str:
    """Return the names of the variables with their shapes."""
    shapes = {name: list(array.shape) for name, array in job.variables(report.checkpoint).items()}
    if as_json:
        return to_json("gmmcli.variables/1", {**_head(report), "variables": shapes})
    return rows_text(
        {"name": name, "shape": "x".join(map(str, shape)) or "1"} for name, shape in shapes.items()
    )


def variable(report: job.InspectReport, name: str, *, as_json: bool) -> str:
    """Return one variable, as CSV with a row per component, or as JSON in its own shape."""
    array = job.variable(report.checkpoint, name)
    if as_json:
        return to_json("gmmcli.variable/1", {**_head(report), "name": name, "value": array.tolist()})
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    features, width = report.checkpoint.features, math.prod(array.shape[1:])
    if array.ndim < 2:
        writer.writerow([name])
    elif width == len(features):
        writer.writerow(features)
    else:
        writer.writerow([f"{a}:{b}" for a in features for b in features])
    writer.writerows(array.reshape(-1, width).tolist())
    return buffer.getvalue()


def settings(report: job.InspectReport, *, as_json: bool) -> str:
    """Return the settings of the model."""
    own = dict(report.checkpoint.settings)
    if as_json:
        return to_json("gmmcli.settings/1", {**_head(report), "settings": own})
    rows = ((name, "" if value is None else str(value)) for name, value in own.items())
    return "".join(f"{printable(name)}\t{printable(value)}\n" for name, value in rows)


def history(model_dir: str, rows: list[dict[str, Any]], *, as_json: bool) -> str:
    """Return a row per run and per checkpoint."""
    if as_json:
        return to_json("gmmcli.history/1", {"model_dir": model_dir, "rows": rows})
    shown = ({**row, "tables": _names(row["tables"] or [])} for row in rows)
    return rows_text(
        {key: printable(value) if isinstance(value, str) else value for key, value in row.items()}
        for row in shown
    )


def selection(model_dir: str, found: list[tuple[Candidate, bool]], *, as_json: bool, for_people: bool) -> str:
    """Return a row per model that the model was chosen from: CSV, or for people a table with bars."""
    rows = [{**vars(one), "chosen": is_chosen} for one, is_chosen in found]
    if as_json:
        return to_json("gmmcli.selection/1", {"model_dir": model_dir, "models": rows})
    if for_people:
        return _with_bars(rows)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([_cell(value) for value in row.values()] for row in rows)
    return buffer.getvalue()


def _with_bars(rows: list[dict[str, Any]]) -> str:
    """Return models as an aligned table; the bar of a model is longer, the lower its bic."""
    worst, best = max(row["bic"] for row in rows), min(row["bic"] for row in rows)
    shown = [["components", "covariances", "log-likelihood", "bic", "icl", "", ""]]
    for row in rows:
        share = (worst - row["bic"]) / (worst - best) if worst > best else 1.0
        cells = [f"{row[name]:.2f}" for name in ("log_likelihood", "bic", "icl")]
        remark = "chosen" if row["chosen"] else "spurious" if row["flaw"] else ""
        bar = "#" * max(round(_BAR * share), 1)
        shown.append([str(row["components"]), row["covariance_type"], *cells, f"{bar:<{_BAR}}", remark])
    return "".join(f"{line.rstrip()}\n" for line in aligned(shown))


def _cell(value: Any) -> Any:
    """Return a value as a cell of CSV."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else value


def _names(tables: list[str]) -> str:
    """Return names of tables for people; a checkpoint spells a byte that is not UTF-8 as Python does."""
    return ", ".join(_SPELT_BYTE.sub(r"\\x\1", str(name)) for name in tables)


def findings(model_dir: str, found: list[Finding], *, as_json: bool) -> str:
    """Return a line per finding; without findings, an empty text."""
    if as_json:
        rows = [
            {"file": one.file, "text": one.text} | ({"hint": in_shell(one.hint)} if one.hint else {})
            for one in found
        ]
        return to_json("gmmcli.check/1", {"model_dir": model_dir, "findings": rows})
    return "".join(printable(f"{finding.file}: {finding.text}") + "\n" for finding in found)


def _head(report: job.InspectReport) -> dict[str, Any]:
    """Return the first keys of every document."""
    return {"model_dir": report.model_dir, "checkpoint": report.generation}
