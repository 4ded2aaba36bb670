"""Different ways to the same model give the same bytes."""

import bz2
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import csv, feather, ipc, parquet
from shell.session import Session


def digest(session: Session, command: str) -> str:
    """Run a fit, return its content digest."""
    result = session.run(f"gmmcli fit --json {command}")
    assert result.stderr == ""
    return str(json.loads(result.stdout)["content_digest"])


def write_every_format(source: Path, directory: Path) -> list[str]:
    """Write a table in every format, return the names."""
    text, table = source.read_bytes(), csv.read_csv(source)
    records = [json.dumps(row) for row in table.to_pylist()]
    (directory / "t.csv.gz").write_bytes(gzip.compress(text))
    (directory / "t.csv.bz2").write_bytes(bz2.compress(text))
    with pa.CompressedOutputStream(str(directory / "t.csv.zst"), "zstd") as stream:
        stream.write(text)
    (directory / "t.tsv").write_bytes(text.replace(b",", b"\t"))
    (directory / "t.jsonl").write_text("\n".join(records) + "\n")
    parquet.write_table(table, directory / "t.parquet")
    feather.write_feather(table, directory / "t.arrow")
    with ipc.new_stream(str(directory / "t.arrows"), table.schema) as stream:
        stream.write_table(table)
    return ["t.csv.gz", "t.csv.bz2", "t.csv.zst", "t.tsv", "t.jsonl", "t.parquet", "t.arrow", "t.arrows"]


def test_every_format_gives_the_same_model(empty_session: Session) -> None:
    """One table in nine formats, and through a pipe: one content digest."""
    directory = empty_session.directory
    names = ["faithful.csv", *write_every_format(directory / "faithful.csv", directory)]

    digests = {name: digest(empty_session, f"-m {name}.model -k 2 {name}") for name in names}
    digests |= {"-": digest(empty_session, "-m pipe -k 2 - < t.parquet")}

    assert set(digests.values()) == {digests["faithful.csv"]}, digests


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_steps_in_two_runs_are_the_steps_of_one(empty_session: Session, covariance_type: str) -> None:
    """`--steps 5` twice is `--steps 10`."""
    options = f"-k 3 --covariance-type {covariance_type} faithful.csv"
    digest(empty_session, f"-m split --steps 5 {options}")

    assert digest(empty_session, f"-m split --steps 5 {options}") == digest(
        empty_session, f"-m whole --steps 10 {options}"
    )


def test_threads_do_not_change_a_byte(empty_session: Session) -> None:
    """One, two and three threads give the same model, and the same predictions."""
    rows = (empty_session.directory / "faithful.csv").read_text().partition("\n")[2]
    (empty_session.directory / "big.csv").write_text("eruptions,waiting\n" + rows * 60)

    digests = [digest(empty_session, f"-m m{n} -k 3 --steps 4 --threads {n} big.csv") for n in (1, 2, 3)]
    predicted = [
        empty_session.run(f"gmmcli predict -m m1 --outputs all --threads {n} big.csv").stdout for n in (1, 2)
    ]

    assert len(set(digests)) == 1
    assert predicted[0] == predicted[1]
    assert predicted[0].count("\n") == 272 * 60 + 1


def test_an_export_starts_the_same_model(session: Session) -> None:
    """`fit --init model.json --steps 0` and export give the same numbers back."""
    session.run("gmmcli export -m geyser -o one.json")
    assert session.run("gmmcli fit -m two --init one.json --steps 0 faithful.csv").stderr == ""

    one, two = (json.loads(session.run(f"gmmcli export -m {name}").stdout) for name in ("geyser", "two"))

    for name in ("schema", "covariance_type", "features", "weights", "means", "covariances"):
        assert one[name] == two[name]


def test_many_small_batches_predict_what_one_does(session: Session) -> None:
    """--batch-size never changes a result, also where batches cross the edges of blocks."""
    rows = (session.directory / "faithful.csv").read_text().partition("\n")[2]
    (session.directory / "big.csv").write_text("eruptions,waiting\n" + rows * 40)
    command = "gmmcli predict -m geyser --outputs all big.csv --batch-size"

    outputs = [session.run(f"{command} {n}").stdout for n in (7, 4095, 99999)]

    assert outputs[0].count("\n") == 272 * 40 + 1
    assert outputs[0] == outputs[1] == outputs[2]
