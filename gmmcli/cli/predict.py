"""`gmmcli predict`."""

import contextlib
import sys
from pathlib import Path
from typing import Any

import click

from gmmcli.cli import options
from gmmcli.cli.console import Console
from gmmcli.errors import Usage
from gmmcli.notices import untold
from gmmcli.remedies import quoted
from gmmcli.tables.suffixes import FORMATS, find_format, is_compressed

BINARY = ("parquet", "arrow")


@click.command(
    "predict",
    epilog="""\b
Examples:
  gmmcli predict -m geyser faithful.csv                        to stdout
  gmmcli predict -m geyser --pass all -o out.parquet faithful.csv
  gmmcli predict -m geyser --outputs assignment,outlier faithful.csv | tail -n +2 | sort | uniq -c
  gmmcli predict -m geyser --outputs all --checkpoint 3 faithful.csv

\b
Outputs:
  assignment     number of the most probable component, from 0
  probability    posterior probability of that component
  probabilities  posterior probabilities of all components
  distance       Mahalanobis distance to that component, in standard deviations
  distances      Mahalanobis distances to all components
  log_density    natural log of the mixture density in the table's units
  uncertainty    1 - probability
  outlier        true if the row is less likely than most training rows; see --outlier-quantile
  all            all of these outputs
""",
)
@options.model_dir
@options.names(
    "--outputs",
    default=("assignment,probability,log_density",),
    show_default=True,
    help="Outputs to write, in this order.",
)
@options.names("--pass", "passed", help="Columns of the table to copy to the output, or all.")
@options.output
@click.option(
    "--output-format",
    type=click.Choice(FORMATS),
    help="Format of the output [default: by the suffix of -o, else csv].",
)
@click.option(
    "--outlier-quantile",
    type=options.value("number", least=0, most=1),
    default=0.01,
    show_default=True,
    help="A row is an outlier if its density is below this quantile of the training rows.",
)
@options.checkpoint
@click.option(
    "--batch-size", type=options.COUNT, metavar="N", help="Rows per write; does not change the output."
)
@options.missing(" (their outputs are empty)")
@options.input_format
@options.threads
@options.general
@options.tables
def command(
    console: Console,
    tables: tuple[str, ...],
    output: Path | None,
    output_format: str | None,
    **given: Any,
) -> None:
    """Write a prediction for every row of TABLE, in the order of the rows."""
    from gmmcli.jobs.predict import PredictRequest, predict

    if is_compressed(str(output)):
        hint = f"gmmcli predict ... | gzip > {quoted(str(output))}"
        raise Usage(f"-o {output}", "output files are not compressed", hint)
    if output_format is None:
        output_format = "csv" if output is None or not output.suffix else find_format(str(output))
    if output_format is None:
        known = ", ".join(f".{name}" for name in FORMATS)
        fact = f"no format has this suffix; known are {known}"
        raise Usage(f"-o {output}", fact, "add --output-format csv")
    to_terminal = output is None and sys.stdout.isatty()
    if to_terminal and output_format in BINARY:
        option = f"--output-format {output_format}"
        raise Usage(option, "cannot be written to a terminal", f"add -o out.{output_format}")
    request = PredictRequest(
        table=options.table_request(console, tables, given),
        stdout=console.stdout() if output is None else None,
        output=output,
        output_format=output_format,
        **given,
    )
    # On a terminal, the rows themselves show the progress.
    with contextlib.nullcontext(untold) if to_terminal else console.following("predicting") as progress:
        predict(request, console.notify, progress)
