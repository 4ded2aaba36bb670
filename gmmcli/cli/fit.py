"""`gmmcli fit`."""

from pathlib import Path
from typing import Any

import click

from gmmcli.cli import options, render
from gmmcli.cli.console import Console
from gmmcli.errors import NotConverged

SETTINGS = (
    "components",
    "covariance_type",
    "init",
    "restarts",
    "seed",
    "params",
    "reg_covar",
    "missing",
    "tol",
    "accelerate",
    "keep",
    "keep_every",
)

# Each start is made; more would take days.
MAX_RESTARTS = 1_000_000


class Params(click.ParamType[str]):
    """Letters of w, m, c in any order."""

    name = "params"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the letters in the order wmc."""
        letters = sorted(value, key="wmc".find)
        if not letters or set(letters) - set("wmc") or len(set(letters)) < len(letters):
            self.fail(f'"{value}" is not made of w, m and c, each at most once', param, ctx)
        return "".join(letters)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return what help shows."""
        return "wmc"


@click.command(
    "fit",
    short_help="Estimate a mixture, or continue one.",
    epilog="""\b
Examples:
  gmmcli fit -m geyser -k 2 faithful.csv             a new model
  gmmcli fit -m geyser faithful.csv                  continue it
  gmmcli fit -m geyser -k 3 --fresh faithful.csv     start anew
  gmmcli fit -m days -k 8 'day*.csv.gz'              several files as one table
  zcat day1.csv.gz | gmmcli fit -m days              from a pipe
  gmmcli fit -m geyser --steps 5 --json faithful.csv
""",
)
@options.model_dir
@click.option(
    "-k",
    "--components",
    "--num-clusters",
    "components",
    type=options.COUNT,
    metavar="N",
    help="Components; needed for a new model.",
)
@click.option(
    "--covariance-type",
    type=click.Choice(["full", "tied", "diag", "spherical"]),
    help="Shape of the covariances (full).",
)
@click.option("--params", type=Params(), help="Update weights, means, covariances: any of the letters (wmc).")
@click.option(
    "--init",
    "--initial-clusters",
    "init",
    metavar="auto|kmeans|kmeans++|random|FILE",
    help="Start: a kind, a table of means, or a JSON export (auto).",
)
@click.option(
    "--restarts",
    type=options.Count(min=1, max=MAX_RESTARTS),
    metavar="N",
    help="Starts, of which the best is kept (1; auto: 8).",
)
@click.option(
    "--seed", "--random-seed", "seed", type=options.COUNT_OR_ZERO, metavar="N", help="Random seed (0)."
)
@click.option("--steps", type=options.COUNT_OR_ZERO, metavar="N", help="Make N more steps.")
@click.option("--max-steps", type=options.COUNT_OR_ZERO, metavar="N", help="Step until the model has made N.")
@click.option(
    "--max-iter", type=options.COUNT_OR_ZERO, metavar="N", help="Cap of a run to convergence (1000)."
)
@click.option(
    "--tol",
    type=options.Number(least=0),
    help="Estimated gain left at which a run ends, nats per row (1e-6).",
)
@click.option(
    "--accelerate",
    type=click.Choice(["auto", "none"]),
    help="Fewer passes in runs to convergence, or plain EM (auto).",
)
@click.option(
    "--reg-covar",
    type=options.Number(least=0, most=1e6),
    help="Added to variances, in standard units (1e-6).",
)
@options.names("--columns", help="Columns to use: names, #i, #i-#j, globs.")
@options.names("--exclude", help="Columns not to use.")
@options.missing("error, or as before")
@click.option("--fresh", is_flag=True, help="Ignore what the directory holds; start a new model in it.")
@click.option("--rollback", is_flag=True, help="Continue from the newest undamaged checkpoint.")
@click.option("--checkpoint-steps", type=options.COUNT, metavar="N", help="Write a checkpoint every N steps.")
@click.option(
    "--checkpoint-seconds", type=options.Number(least=0), help="Write a checkpoint every F seconds (600)."
)
@click.option(
    "--keep", type=options.COUNT_OR_ZERO, metavar="N", help="Keep the newest N checkpoints; 0: all (5)."
)
@click.option("--keep-every", type=options.COUNT, metavar="N", help="Keep those divisible by N for ever.")
@click.option(
    "--time-limit",
    "time_limit_s",
    type=options.Number(above=0),
    help="Stop cleanly after F seconds; exit 3 if not converged.",
)
@click.option(
    "--batch-size",
    type=options.COUNT,
    metavar="N",
    help="Make a step after every N rows; --tol and --max-iter are of passes.",
)
@click.option(
    "--validation",
    metavar="TABLE",
    help="Check the model by a table every --checkpoint-steps steps (10); keep the best.",
)
@click.option("--patience", type=options.COUNT, metavar="N", help="End after N checks without a gain.")
@click.option(
    "--log-every",
    type=options.COUNT_OR_ZERO,
    default=100,
    metavar="N",
    help="Tell of every N-th step in log.jsonl, and events/ if there; 0: of none (100).",
)
@click.option(
    "--partial", is_flag=True, help="Add TABLE to what the model knows, in --steps N inner steps (1)."
)
@click.option(
    "--decay",
    type=options.Number(least=0, most=1),
    help="With --partial: multiply what the model knows by F first (1).",
)
@click.option("--require-convergence", is_flag=True, help="Exit 3 where the run did not converge.")
@options.input_format
@options.threads
@options.json_switch
@options.general
@options.tables
def command(console: Console, model_dir: Path, tables: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Estimate a mixture from TABLE (CSV, TSV, Parquet, Arrow or JSON lines; stdin without one).

    A second fit continues from the newest checkpoint in the model directory.
    """
    from gmmcli.jobs.fit import fit
    from gmmcli.jobs.fit_request import FitRequest

    settings = {name: given.pop(name) for name in SETTINGS}
    request = FitRequest(
        model_dir,
        options.table_request(console, tables, given),
        settings=settings,
        source_date_epoch=options.source_date_epoch(),
        **given,
    )
    if as_json:
        console.stdout()
    with console.following(f"{model_dir}") as progress:
        report = fit(request, console.notify, progress)
    if as_json:
        console.write(render.fit_json(report))
    else:
        console.summary(render.fit_summary(report))
    # Of a run with a validation table the newest checkpoint is the best one, from before its convergence.
    has_converged = report.converged or report.ending == "converged"
    if not has_converged and (request.require_convergence or report.ending == "time_limit"):
        if report.ending == "steps":
            raise NotConverged(
                str(model_dir), f"not converged after {render.plural(report.global_step, 'step')}"
            )
        click.get_current_context().exit(NotConverged.status)
