"""`gmmcli fit`."""

from pathlib import Path
from typing import Any

import click

from gmmcli.cli import options, render
from gmmcli.cli.console import Console
from gmmcli.errors import NotConverged
from gmmcli.fitting.options import options_of
from gmmcli.fitting.request import FitRequest
from gmmcli.fitting.settings import Settings
from gmmcli.tables.wording import counted


@click.command(
    "fit",
    epilog="""\b
Examples:
  gmmcli fit -m best faithful.csv                    choose the number of components
  gmmcli fit -m geyser -k 2 faithful.csv             start a new model
  gmmcli fit -m geyser faithful.csv                  continue the model
  gmmcli fit -m geyser -k 3 --fresh faithful.csv     start a new model in it
  gmmcli fit -m days -k 8 'day*.csv.gz'              read several files as one table
  zcat day1.csv.gz | gmmcli fit -m days              read from a pipe
  gmmcli fit -m geyser --steps 5 --json faithful.csv
""",
)
@options.model_dir
@options.of(Settings)
@options.of(FitRequest)
@options.input_format
@options.threads
@options.json_switch
@options.general
@options.tables
def command(console: Console, model_dir: Path, tables: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Estimate a mixture from TABLE, a CSV, TSV, JSON lines, Parquet or Arrow file.

    If TABLE is omitted or -, fit reads stdin. A second fit continues from the newest checkpoint in the model
    directory.
    """
    from gmmcli.jobs.fit import choose, fit

    settings = {name: given.pop(name) for name, _ in options_of(Settings)}
    table = options.table_request(console, tables, given, may_be_stdin=not given["choose"])
    asked = {name: value for name, value in given.items() if value is not None}
    epoch = options.source_date_epoch()
    request = FitRequest(model_dir, table, settings, source_date_epoch=epoch, **asked)
    if as_json:
        console.stdout()
    with console.following(str(model_dir)) as progress:
        report = choose(request, console.notify) if request.choose else fit(request, console.notify, progress)
    if as_json:
        console.write(render.fit_json(report))
    else:
        console.summary(render.fit_summary(report))
    # With a validation table, the newest checkpoint may be older than the step at which the run converged.
    has_converged = report.converged or report.ending == "converged"
    if not has_converged and (request.require_convergence or report.ending == "time_limit"):
        if report.ending == "steps":
            steps = counted(report.global_step, "step")
            raise NotConverged(str(model_dir), f"not converged after {steps}")
        click.get_current_context().exit(NotConverged.status)
