"""`gmmcli score`."""

from pathlib import Path
from typing import Any

import click

from gmmcli.cli import options, render
from gmmcli.cli.console import Console
from gmmcli.jobs.metrics import LABEL_METRICS, METRICS


@click.command(
    "score",
    epilog="""\b
Examples:
  gmmcli score -m geyser faithful.csv
  gmmcli score -m geyser --metric mean_log_likelihood faithful.csv
  gmmcli score -m flowers --labels species iris.csv
  gmmcli score -m flowers --by species iris.csv
  gmmcli score -m geyser --min-mean-log-likelihood -4.5 today.csv > today.tsv
  [ $? -ne 4 ] || mail -s drift me < today.tsv
""",
)
@options.model_dir
@click.option(
    "--metric", type=click.Choice([*METRICS, *LABEL_METRICS]), metavar="NAME", help="Print only this value."
)
@click.option(
    "--labels",
    metavar="COLUMN",
    help="Compare components with a column of labels; rows without a label are ignored.",
)
@click.option("--by", metavar="COLUMN", help="Measure each group of rows with the same value.")
@click.option("--steps", type=options.COUNT, metavar="N", help="With --batch-size B: use the first N*B rows.")
@click.option("--batch-size", type=options.COUNT, metavar="B", help="With --steps N: use the first N*B rows.")
@click.option(
    "--min-mean-log-likelihood",
    type=options.value("number"),
    help="Exit 4 if the mean log-likelihood (with --by: of any group) is below F.",
)
@options.checkpoint
@options.missing()
@options.input_format
@options.threads
@options.json_switch
@options.general
@options.tables
def command(console: Console, model_dir: Path, tables: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Print how well a mixture explains TABLE, as lines of name<TAB>value."""
    from gmmcli.jobs.score import ScoreRequest, check_threshold, score

    request = ScoreRequest(model_dir, options.table_request(console, tables, given), **given)
    console.stdout()
    with console.following("scoring") as progress:
        report = score(request, console.notify, progress)
    console.write(
        render.score_json(report, request.metric) if as_json else render.score_text(report, request.metric)
    )
    check_threshold(request, report)
