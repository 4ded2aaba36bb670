"""Render reports as text for people and as JSON for programs."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gmmcli.tables.wording import counted

if TYPE_CHECKING:
    from gmmcli.fitting.report import FitReport
    from gmmcli.jobs.score import ScoreReport


def to_json(schema: str, items: Mapping[str, Any], why: Mapping[str, str] | None = None) -> str:
    """Return one line of JSON whose first key is `schema`.

    Parameters
    ----------
    schema : str
        For example "gmmcli.fit/1".
    items : mapping
    why : mapping, optional
        The reason why the value of a key may be null. After a null key K comes K_why.
    """
    import json  # not for --help

    document = {"schema": schema, **_explained(items, why or {})}
    text = json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n"
    # Bytes of a path that are not UTF-8 are escaped.
    return text.encode("utf-8", "backslashreplace").decode()


def _explained(items: Mapping[str, Any], why: Mapping[str, str]) -> dict[str, Any]:
    """Return the items, and a reason for each null, also in nested objects."""
    found: dict[str, Any] = {}
    for key, value in items.items():
        plain = _plain(value)
        found[key] = plain
        if plain is None:
            reason = "not_finite" if isinstance(value, float) else why.get(key, "not_applicable")
            found[f"{key}_why"] = reason
    return found


def _plain(value: Any) -> Any:
    """Return a value for JSON; NaN and infinity become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return _explained(value, {})
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(element) for element in value]
    return value


def fit_json(report: "FitReport") -> str:
    """Return the report of fit as JSON."""
    items = {name: getattr(report, name) for name in report.__dataclass_fields__ if name != "ending"}
    items["warnings"] = [notice.as_json() for notice in report.warnings]
    items["starts"] = None if report.starts is None else vars(report.starts)
    items["selection"] = [vars(one) for one in report.selection]
    return to_json("gmmcli.fit/1", items, {"estimated_remaining_gain": "not_enough_steps"})


def fit_summary(report: "FitReport") -> str:
    """Return the report of fit in one line."""
    state = "converged" if report.converged else "not converged"
    if report.validation is not None:
        misses = int(report.validation["misses"])
        later = f" ({counted(misses, 'later check')} no better)" if misses else ""
        state += f", best check of the validation table{later}"
    among = f" (best of {counted(len(report.selection), 'model')})" if len(report.selection) > 1 else ""
    return (
        f"{report.model_dir} checkpoint {report.checkpoint}: "
        f"{counted(report.components, 'component')}{among}, "
        f"{counted(report.global_step, 'step')}, {state}, "
        f"mean log-likelihood {report.mean_log_likelihood:.6g}"
    )


def score_text(report: "ScoreReport", metric: str | None) -> str:
    """Return name<TAB>value lines, the bare value of one metric, or a table with a line per group."""
    if report.by is None and metric is not None:
        return f"{report.metrics[metric]!r}\n"
    if report.by is None:
        return "".join(f"{name}\t{value!r}\n" for name, value in report.metrics.items())
    names = list(report.metrics) if metric is None else [metric]
    lines = ["\t".join([_cell(report.by), *names])]
    for group, metrics in report.groups.items():
        lines.append(
            "\t".join([_cell(group), *("" if metrics[n] is None else repr(metrics[n]) for n in names)])
        )
    return "\n".join(lines) + "\n"


def score_json(report: "ScoreReport", metric: str | None) -> str:
    """Return the report of score as JSON, with one metric or all."""
    names = list(report.metrics) if metric is None else [metric]
    items: dict[str, Any] = {
        "model_dir": report.model_dir,
        "checkpoint": report.checkpoint,
        **{name: report.metrics[name] for name in names},
    }
    if report.by is not None:
        items["groups"] = [
            {"group": group, **{name: metrics[name] for name in names}}
            for group, metrics in report.groups.items()
        ]
    items["warnings"] = [notice.as_json() for notice in report.warnings]
    return to_json("gmmcli.score/1", items)


def rows_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows with the same keys as TSV with a header."""
    rows = list(rows)
    if not rows:
        return ""
    lines = ["\t".join(rows[0])]
    lines += ["\t".join(_cell("" if value is None else value) for value in row.values()) for row in rows]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    """Return a cell of TSV, quoted if necessary."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if any(c in text for c in '\t"\n\r'):
        return '"' + text.replace('"', '""') + '"'
    return text
