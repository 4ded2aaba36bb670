"""The command line is what it says it is: options with their spellings, statuses, help, version."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import click
import pytest

import gmmcli
from gmmcli import errors
from gmmcli.cli.app import VERBS, cli
from gmmcli.cli.options import Value

Run = Callable[..., "subprocess.CompletedProcess[str]"]
MAN = Path(__file__).parents[2] / "man"

# The contract: every spelling of every option, and words that its help must contain (its default, mostly).
GENERAL = {
    "-v --verbose": "stderr",
    "-q --quiet": "-qq",
    "--progress --no-progress": "terminal",
    "--no-color": "colour",
    "--debug": "traceback",
    "-h --help": "exit",
}
MODEL = {"-m --model-dir": "[env var: GMMCLI_MODEL_DIR; required]"}
CHECKPOINT = {"--checkpoint": "newest"}
JSON = {"--json": "JSON"}
OUTPUT = {"-o --output": "[default: stdout]"}
READING = {"--input-format": "content", "--missing": "missing value", "--threads": "CPUs"}
CONTRACT = {
    "fit": {
        **MODEL,
        **READING,
        **JSON,
        **GENERAL,
        "-k --components --num-clusters": "[default: auto]",
        "--criterion": "[default: bic]",
        "--folds": "[default: 5]",
        "--choose": "without fitting",
        "--covariance-type": "[default: full]",
        "--params": "[default: wmc]",
        "--init --initial-clusters": "[default: auto]",
        "--restarts": "[default: 1; with --init auto: 13 to 192]",
        "--seed --random-seed": "[default: 0]",
        "--steps": "more",
        "--max-steps": "in all",
        "--max-iter": "[default: 1000]",
        "--tol": "[default: 1e-6]",
        "--accelerate": "[default: auto]",
        "--min-sd": "[default: auto, 1e-06]",
        "--reg-covar": "[default: 0]",
        "--columns": "[default: all numeric columns]",
        "--exclude": "not to use",
        "--fresh": "new model",
        "--rollback": "undamaged",
        "--checkpoint-steps": "every N steps",
        "--checkpoint-seconds": "[default: 600]",
        "--keep": "[default: 5]",
        "--keep-every": "every Nth",
        "--time-limit": "exit 3",
        "--batch-size": "after every N rows",
        "--validation": "keep the best checkpoint",
        "--patience": "without improvement",
        "--log-every": "[default: 100]",
        "--partial": "updates [default: 1]",
        "--decay": "--partial",
        "--require-convergence": "Exit 3",
    },
    "predict": {
        **MODEL,
        **READING,
        **OUTPUT,
        **CHECKPOINT,
        **GENERAL,
        "--outputs": "[default: assignment,probability,log_density]",
        "--pass": "all",
        "--output-format": "else csv",
        "--outlier-quantile": "[default: 0.01",
        "--batch-size": "Rows per write",
    },
    "score": {
        **MODEL,
        **READING,
        **JSON,
        **CHECKPOINT,
        **GENERAL,
        "--metric": "only",
        "--labels": "column of labels",
        "--by": "group",
        "--steps": "first N*B rows",
        "--batch-size": "first N*B rows",
        "--min-mean-log-likelihood": "Exit 4",
    },
    "export": {
        **MODEL,
        **OUTPUT,
        **CHECKPOINT,
        **GENERAL,
        "--format": "else json",
        "--export-dir": "BASE/<unix seconds>/",
        "--exports-to-keep": "newest N",
        "--assets-extra": "assets.extra/DEST",
        "--as-text": "format is text",
    },
    "inspect": {
        **MODEL,
        **CHECKPOINT,
        **JSON,
        **GENERAL,
        "--variables": "shapes",
        "--variable": "CSV",
        "--settings": "settings",
        "--selection": "chosen from",
        "--history": "run and checkpoint",
        "--check": "[default: full]",
    },
}
CHOICES = {
    ("fit", "--covariance-type"): "full tied diag tied-diag spherical tied-spherical",
    ("fit", "--missing"): "error drop",
    ("fit", "--input-format"): "csv tsv parquet arrow jsonl",
    ("predict", "--output-format"): "csv tsv parquet arrow jsonl",
    ("export", "--format"): "json npz",
    ("inspect", "--check"): "quick full",
}


def options_of(verb: str) -> dict[str, click.Option]:
    """Return a verb's options by their spellings."""
    command = command_of(verb)
    context = click.Context(command, info_name=verb, **command.context_settings)
    context.help_option_names = ["-h", "--help"]
    options = [option for option in command.get_params(context) if isinstance(option, click.Option)]
    return {" ".join(option.opts + option.secondary_opts): option for option in options}


def command_of(verb: str) -> click.Command:
    """Return a verb's command."""
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    return command


@pytest.mark.parametrize("verb", CONTRACT)
def test_a_verb_has_the_options_of_the_contract_and_no_others(verb: str) -> None:
    """Options and all their spellings are those of the contract."""
    assert sorted(options_of(verb)) == sorted(CONTRACT[verb])


@pytest.mark.parametrize(
    ("verb", "spelling"), [(verb, option) for verb in CONTRACT for option in CONTRACT[verb]]
)
def test_help_tells_an_options_default(verb: str, spelling: str) -> None:
    """The line of --help about an option has the words of the contract."""
    record = options_of(verb)[spelling].get_help_record(click.Context(command_of(verb)))

    assert record is not None
    assert CONTRACT[verb][spelling] in record[1]


@pytest.mark.parametrize(("verb", "spelling"), CHOICES)
def test_an_option_takes_the_words_of_the_contract(verb: str, spelling: str) -> None:
    """Options that take one of several words take these."""
    kind = options_of(verb)[spelling].type
    words = kind.row.words if isinstance(kind, Value) else kind.choices

    assert sorted(words) == sorted(CHOICES[verb, spelling].split())


def test_the_verbs_are_those_of_the_contract() -> None:
    """Verbs come in the order of a day's work."""
    assert tuple(CONTRACT) == tuple(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_an_example(run: Run, verb: str) -> None:
    """`--help` goes to stdout, shows examples, exits 0."""
    result = run(verb, "--help")

    assert (result.returncode, result.stderr) == (0, "")
    assert f"\n    gmmcli {verb} -m " in result.stdout.partition("Examples:")[2]


def test_version_is_one_line(run: Run) -> None:
    """`--version` prints name and version."""
    result = run("--version")

    assert (result.returncode, result.stdout, result.stderr) == (0, f"gmmcli {gmmcli.__version__}\n", "")


def test_version_with_detail_names_what_computes(run: Run) -> None:
    """`--version -v` adds the libraries and the BLAS kernel."""
    names = [line.split()[0] for line in run("--version", "-v").stdout.splitlines()]

    assert names == ["gmmcli", "python", "numpy", "scipy", "h5py", "pyarrow", "BLAS"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["fit", "--frob"], "gmmcli fit: usage: No such option <...>--frob<...>\nhint: gmmcli fit --help\n"),
        (["fit", "-k", "2"], "gmmcli fit: -m: needed\nhint: gmmcli fit -m DIR -k 2\n"),
        (["inspect", "a b"], "gmmcli inspect: -m: needed\nhint: gmmcli inspect -m 'a b'\n"),
        (["score", "t.csv"], "gmmcli score: -m: needed\nhint: gmmcli score -m DIR t.csv\n"),
        (["frobnicate"], "gmmcli: usage: No such command 'frobnicate'\nhint: gmmcli --help\n"),
    ],
)
def test_wrong_usage_is_two_lines_and_status_2(run: Run, arguments: list[str], expected: str) -> None:
    """The error on one line, what to type on the next, nothing on stdout."""
    result = run(*arguments)

    pattern = ".*".join(map(re.escape, expected.split("<...>")))
    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(pattern, result.stderr)


def test_no_verb_prints_help_and_exits_2(run: Run) -> None:
    """`gmmcli` alone is a question."""
    result = run()

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: gmmcli")


def test_every_exit_status_is_in_the_manual() -> None:
    """EXIT STATUS of gmmcli.1 has every status of an error class, success, bugs and signals."""
    section = (MAN / "gmmcli.1").read_text().partition(".SH EXIT STATUS")[2].partition(".SH")[0]
    documented = {int(status) for status in re.findall(r"\\fB(\d+)\\fR", section)}

    raised = {kind.status for kind in vars(errors).values() if hasattr(kind, "status")}

    assert documented == {0, 1, 2, 3, 4, 65, 66, 70, 71, 73, 74, 75, 76, 77, 129, 130, 141, 143}
    assert raised <= documented
