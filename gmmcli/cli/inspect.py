"""`gmmcli inspect`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gmmcli.cli import options
from gmmcli.cli.console import Console
from gmmcli.errors import CheckpointCorrupt, Usage
from gmmcli.tables.wording import counted

if TYPE_CHECKING:
    from gmmcli.store.verify import Level


@click.command(
    "inspect",
    epilog="""\b
Examples:
  gmmcli inspect -m geyser                       a summary
  gmmcli inspect -m geyser --json | jq .means
  gmmcli inspect -m geyser --variable means      as CSV
  gmmcli inspect -m geyser --history
  gmmcli inspect -m geyser --selection           the models that it was chosen from
  gmmcli inspect -m geyser --check
""",
)
@options.model_dir
@options.checkpoint
@click.option("--variables", is_flag=True, help="Print the names of the variables, with shapes.")
@click.option("--variable", metavar="NAME", help="Print one variable, as CSV.")
@click.option("--settings", is_flag=True, help="Print the settings of the model, as options of fit set them.")
@click.option("--history", is_flag=True, help="Print one row per run and checkpoint.")
@click.option("--selection", is_flag=True, help="Print the models that the model was chosen from, as CSV.")
@click.option(
    "--check",
    type=click.Choice(["quick", "full"]),
    is_flag=False,
    flag_value="full",
    help="Look for damage, and exit 76 if any is found; quick does not find flipped bits [default: full].",
)
@options.json_switch
@options.general
def command(
    console: Console,
    model_dir: Path,
    checkpoint: int | None,
    variables: bool,
    variable: str | None,
    settings: bool,
    history: bool,
    selection: bool,
    check: "Level | None",
    as_json: bool,
) -> None:
    """Show what a model directory holds."""
    chosen = [variables, variable is not None, settings, history, selection, check is not None]
    if sum(chosen) > 1:
        names = "--variables, --variable, --settings, --history, --selection and --check"
        raise Usage(names, "cannot be used together", "give one of them")
    if checkpoint is not None and (history or selection or check is not None):
        fact = "cannot be used with --history, --selection or --check"
        raise Usage("--checkpoint", fact, "omit --checkpoint")
    from gmmcli.cli import inspection
    from gmmcli.jobs import inspect as job
    from gmmcli.store import verify

    console.stdout()
    if check is not None:
        findings = verify.check(model_dir, check)
        console.write(inspection.findings(str(model_dir), findings, as_json=as_json))
        if findings:
            hints = [finding.hint for finding in findings if finding.hint]
            raise CheckpointCorrupt(
                str(model_dir), counted(len(findings), "finding"), hints[0] if hints else None
            )
    elif selection:
        found, for_people = job.selection(model_dir), console.stdout_is_terminal
        console.write(inspection.selection(str(model_dir), found, as_json=as_json, for_people=for_people))
    elif history:
        console.write(inspection.history(str(model_dir), job.history(model_dir), as_json=as_json))
    else:
        report = job.inspect(model_dir, checkpoint)
        if variables:
            text = inspection.variables(report, as_json=as_json)
        elif variable is not None:
            text = inspection.variable(report, variable, as_json=as_json)
        elif settings:
            text = inspection.settings(report, as_json=as_json)
        elif as_json:
            text = inspection.as_json(report, job.list_kept(model_dir))
        else:
            text = inspection.summary(report, job.list_generations(model_dir))
        console.write(text)
