"""`gmmcli export`."""

from pathlib import Path
from typing import Any

import click

from gmmcli.cli import options
from gmmcli.cli.console import Console
from gmmcli.errors import Usage
from gmmcli.export.formats import FORMATS


class Asset(click.ParamType[tuple[str, Path]]):
    """The value of --assets-extra."""

    name = "asset"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Path]:
        """Split DEST=SOURCE."""
        destination, equals, source = value.partition("=")
        if not (destination and equals and source):
            self.fail(f'must be DEST=SOURCE, not "{value}"', param, ctx)
        return destination, Path(source)


@click.command(
    "export",
    epilog="""\b
Examples:
  gmmcli export -m geyser --format json | jq .means
  gmmcli export -m geyser --format npz -o geyser.npz
  gmmcli export -m geyser --format json --export-dir exports --exports-to-keep 3
""",
)
@options.model_dir
@click.option(
    "--format",
    "export_format",
    type=click.Choice(list(FORMATS)),
    help="Format [default: by the suffix of -o, else json].",
)
@options.output
@click.option(
    "--export-dir",
    type=options.PathName(),
    metavar="BASE",
    help="Create the directory BASE/<unix seconds>/ and print its path.",
)
@click.option(
    "--exports-to-keep", type=options.COUNT, metavar="N", help="Keep only the newest N exports in BASE."
)
@click.option(
    "--assets-extra",
    type=Asset(),
    metavar="DEST=SOURCE",
    multiple=True,
    help="Copy a file SOURCE to assets.extra/DEST; repeatable.",
)
@click.option("--as-text", is_flag=True, help="Exit 2 unless the format is text.")
@options.checkpoint
@options.general
def command(console: Console, output: Path | None, export_format: str | None, **given: Any) -> None:
    """Write a model for other programs, in the table's units."""
    from gmmcli.jobs.export import ExportRequest, export

    if export_format is None:
        suffix = "" if output is None else output.suffix.lower()
        formats = {"": "json"} | {row.suffix: name for name, row in FORMATS.items()}
        if suffix not in formats:
            known = ", ".join(row.suffix for row in FORMATS.values())
            raise Usage(f"-o {output}", f"no format has this suffix; known are {known}", "add --format json")
        export_format = formats[suffix]
    request = ExportRequest(output=output, export_format=export_format, **given)
    if request.output is None:
        console.stdout()
    report = export(request)
    if report.content is not None:
        console.write(report.content.decode())
    elif report.directory is not None:
        console.write(f"{report.directory}\n")
