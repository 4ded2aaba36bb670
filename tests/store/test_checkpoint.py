"""A checkpoint and its bytes: nothing is lost, nothing is random, and the digest covers the right items."""

import hashlib
import struct
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.same import assert_same

from gmmcli.core.em.memory import Batches, Converged, Cycle, Memory, Standing
from gmmcli.core.families import FAMILIES
from gmmcli.errors import TableUnusable
from gmmcli.store import layout, run_state, user_block
from gmmcli.store.checkpoint import MAX_HISTORY, OperandRecord, content_digest, decode, encode

SUBJECT = "m/checkpoints/ckpt-000000001.h5"


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
doubles = st.floats(allow_nan=False, allow_infinity=False, width=64)
nats = st.floats(-1e290, 1e290)  # what a mean log-likelihood or a log density may be
counts = st.integers(-1, 2**53)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
operands = st.builds(OperandRecord, names, counts, counts, digests)
arrays = st.lists(doubles, max_size=5).map(np.array)
naturals = st.integers(0, 2**53)
cycles = st.builds(
    Cycle,
    naturals,
    counts,
    naturals,
    st.floats(0, 1e100),
    doubles,
    naturals,
    st.booleans(),
    doubles,
    arrays,
)
standings = st.builds(
    Standing, st.none() | doubles, counts, counts, counts, st.binary(min_size=6, max_size=6).map(bytes.hex)
)


def memories(statistics):
    """Return a strategy of the memory of a run that has the given statistics."""
    own = {name: st.just(getattr(statistics, name)) for name in ("counts", "sums", "squares", "reference")}
    return st.builds(
        Memory,
        st.integers(0, 3),
        st.booleans(),
        st.none() | st.integers(0, 2**53),
        st.none() | cycles,
        st.none() | st.builds(Batches, counts, counts, **own, likelihoods=st.lists(nats).map(np.array)),
        st.none() | standings,
        st.none() | st.builds(Converged, doubles, counts),
    )


json_values = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(-1e300, 1e300) | names


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_checkpoint_comes_back_bit_for_bit(build, provenance, data):
    """For any type, shape and texts, decode(encode(c)) is c."""
    n_features = data.draw(st.integers(1, 4))
    checkpoint = build(
        data.draw(st.sampled_from(list(FAMILIES))),
        data.draw(st.integers(1, 5)),
        n_features,
        seed=data.draw(st.integers(0, 99)),
        features=tuple(data.draw(st.lists(names, min_size=n_features, max_size=n_features))),
        weights_column=data.draw(st.none() | names),
        global_step=data.draw(st.integers(0, 2**53)),
        converged=data.draw(st.booleans()),
        settings=data.draw(st.dictionaries(names, json_values, max_size=4)),
        log_likelihoods=np.array(data.draw(st.lists(nats, max_size=5))),
        stopping=np.array(data.draw(st.lists(nats, max_size=3))),
        random_state=data.draw(names),
        operands=tuple(data.draw(st.lists(operands, max_size=3))),
        absorbed_digests=tuple(data.draw(st.lists(digests, max_size=3))),
        quantiles=np.sort(
            data.draw(st.lists(nats, min_size=1, max_size=5).map(lambda x: np.resize(x, 1001)))
        ),
        provenance=provenance,
    )
    checkpoint = replace(checkpoint, memory=data.draw(memories(checkpoint.statistics)))

    back = decode(encode(checkpoint), SUBJECT)

    assert_same(checkpoint, back)
    assert content_digest(back) == content_digest(checkpoint)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_the_memory_of_a_run_comes_back_from_the_numbers_of_format_1_0(build, data):
    """Flags, counts and a digest included."""
    memory = data.draw(memories(build().statistics))

    assert_same(memory, run_state.from_arrays(run_state.to_arrays(memory)))


@pytest.mark.parametrize(
    ("arrays", "fact"),
    [
        ({"cycle": np.ones(3)}, r"'cycle' has shape \(3,\), not \(8,\)"),
        ({"began": np.ones((1, 1))}, r"'began' has shape"),
        ({"began": np.array([0.5])}, "0.5 where an integer belongs"),
        ({"began": np.array([np.nan])}, "nan where an integer belongs"),
        ({"began": np.array([1e300])}, r"1e\+300 where an integer belongs"),
        ({"stepwise": np.ones(2)}, "'stepwise' lacks an array"),
        ({"patience": np.ones(1)}, "unknown part 'patience'"),
    ],
)
def test_numbers_of_format_1_0_that_are_no_memory_are_damage(arrays, fact):
    """A wrong shape, a wrong number, or an unknown name."""
    with pytest.raises(layout.Damage, match=fact):
        run_state.from_arrays(arrays)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_the_same_checkpoint_gives_the_same_bytes(build, provenance, covariance_type):
    """Neither the order of settings nor writing and reading changes a byte."""
    first = build(covariance_type, provenance=provenance, memory=Memory(cycle=Cycle(base=np.ones(3))))
    second = build(
        covariance_type,
        provenance=provenance,
        memory=first.memory,
        settings=dict(reversed(first.settings.items())),
    )

    data = encode(first)

    assert encode(second) == data
    assert encode(decode(data, SUBJECT)) == data


def test_the_user_block_says_what_follows_it(build, provenance):
    """The first 48 bytes hold magic, length and SHA-256; the other 464 are zero."""
    data = encode(build(provenance=provenance))

    magic, length, digest = struct.unpack_from("<8sQ32s", data)

    assert magic == b"GMMCLI\0\1"
    assert length == len(data) - 512
    assert digest == hashlib.sha256(data[512:]).digest()
    assert data[48:512] == bytes(464)
    assert data[512:520] == b"\x89HDF\r\n\x1a\n"


def test_other_hdf5_tools_open_the_file(build, provenance, tmp_path):
    """A checkpoint on disk is ordinary HDF5: h5py finds groups, numbers and texts."""
    checkpoint = build(provenance=provenance)
    path = tmp_path / "c.h5"
    path.write_bytes(encode(checkpoint))

    with h5py.File(path) as file:
        assert file.userblock_size == user_block.SIZE
        assert file.attrs["format"] == b"gmmcli-checkpoint"
        np.testing.assert_array_equal(file["mixture/means"], checkpoint.mixture.means)
        assert tuple(file["schema/features"].asstr()) == checkpoint.features
        assert all(file[group].attrs["encoding_version"] == b"1" for group in layout.GROUPS)
        assert file["state/means"].fletcher32


def test_only_the_last_thousand_log_likelihoods_are_kept(build, provenance):
    """The beginning of a longer history is dropped."""
    history = np.arange(MAX_HISTORY + 5.0)

    back = decode(encode(build(provenance=provenance, log_likelihoods=history)), SUBJECT)

    np.testing.assert_array_equal(back.log_likelihoods, history[5:])


def test_large_texts_and_arrays_take_more_than_one_chunk(build, provenance):
    """Settings above 64 KiB and arrays above 1 MiB come back whole."""
    memory = Memory(cycle=Cycle(base=np.arange(300_000.0)))
    checkpoint = build(provenance=provenance, memory=memory, settings={"long": "x" * 200_000})

    back = decode(encode(checkpoint), SUBJECT)

    assert back.settings == checkpoint.settings
    np.testing.assert_array_equal(back.memory.cycle.base, memory.cycle.base)


def test_a_file_name_that_is_not_unicode_is_kept_as_backslashes(build, provenance):
    """Names of operands are for people, so they need not come back byte for byte."""
    operand = OperandRecord("caf\udce9.csv", 1, 1, "0" * 64)

    back = decode(encode(build(provenance=provenance, operands=(operand,))), SUBJECT)

    assert back.operands[0].name == "caf\\udce9.csv"


@pytest.mark.parametrize("name", ["x\0", "\ud800"])
def test_a_column_name_that_cannot_be_stored_is_refused(build, provenance, name):
    """Fixed-length UTF-8 text keeps neither a last NUL byte nor half a surrogate pair."""
    checkpoint = build(n_features=1, features=(name,), provenance=provenance)

    with pytest.raises(TableUnusable, match=r"column names: text .* (ends with a NUL byte|is not Unicode)"):
        encode(checkpoint)


def test_a_checkpoint_without_provenance_has_no_bytes(build):
    """Only the writer knows generation and parent."""
    with pytest.raises(ValueError, match="needs its provenance"):
        encode(build())


def reference_digest(items):
    """Return the digest by its definition, one item after the other."""
    digest = hashlib.sha256()
    for path in sorted(items, key=str.encode):
        array = np.asarray(items[path])
        digest.update(path.encode() + b"\0" + array.dtype.str.encode())
        digest.update(b"".join(int(size).to_bytes(8, "little") for size in (array.ndim, *array.shape)))
        digest.update(array.tobytes(order="C"))
    return digest.hexdigest()


def test_the_content_digest_is_what_its_definition_says(build):
    """An independent reading of the definition gives the same digest."""
    cycle = Cycle(3, 2, 1, 4.0, 8.0, 0, True, -1.5, np.ones(4))
    standing = Standing(-2.5, 40, 1, 41, "00000000002a")
    c = build("diag", memory=Memory(1, True, 5, cycle, None, standing, Converged(1e-6, 100)))
    s = c.statistics
    items = {
        "/mixture/covariance_type": np.array(b"diag"),
        "/schema/features": np.array([name.encode() for name in c.features]),
        "/schema/weights_column": np.array(b"w"),
        "/statistics/log_likelihood": np.array(s.log_likelihood, "<f8"),
        "/statistics/rows": np.array(s.rows, "<i8"),
        "/statistics/log_max_posterior": np.array(s.log_max_posterior, "<f8"),
        "/statistics/total_weight": np.array(s.total_weight, "<f8"),
        "/training/converged": np.array(1, "|u1"),
        "/training/global_step": np.array(41, "<i8"),
        "/training/run/reseeded": np.ones(1),
        "/training/run/approximate": np.ones(1),
        "/training/run/began": np.array([5.0]),
        "/training/run/cycle": np.array([3.0, 2.0, 1.0, 4.0, 8.0, 0.0, 1.0, -1.5]),
        "/training/run/cycle_base": np.ones(4),
        "/training/run/validation": np.array([-2.5, 40.0, 1.0, 41.0, 42.0]),
        "/training/run/converged": np.array([1e-6, 100.0]),
        "/training/stopping": c.stopping,
        "/units/center": c.units.center,
        "/units/scale": c.units.scale,
    }
    for name in ("counts", "sums", "squares", "reference"):
        items[f"/statistics/{name}"] = getattr(s, name)
    for name in ("weights", "means", "covariances"):
        items[f"/state/{name}"] = getattr(c.state, name)
        items[f"/mixture/{name}"] = getattr(c.mixture, name)

    assert content_digest(c) == reference_digest(items)


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({"global_step": 42}, True),
        ({"converged": False}, True),
        ({"features": ("a", "b")}, True),
        ({"weights_column": None}, True),
        ({"stopping": np.array([1.0])}, True),
        ({"memory": Memory(began=1)}, True),
        ({"seed": 1}, True),
        ({"settings": {"threads": 7}}, False),
        ({"log_likelihoods": np.empty(0)}, False),
        ({"operands": ()}, False),
        ({"random_state": "{}"}, False),
        ({"quantiles": np.empty(0)}, False),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_the_content_digest_sees_what_a_run_must_reproduce_and_nothing_else(build, changes, counts):
    """Settings, history and operands differ between a split run and a whole one."""
    assert (content_digest(build(**changes)) != content_digest(build())) is counts


LITTLE_MEMORY = """
import os
import resource
import sys
import numpy as np
from gmmcli.store import container
items = {"/state/squares": np.random.default_rng(1).normal(size=(8, 256, 256))}
rules = lambda minor: {}
whole = {"write": lambda: container.write(items), "read": lambda: container.read(bytes(5_000_000), rules)}
for task in whole.values():  # what is loaded when it is first used is loaded now
    try:
        task()
    except container.Damage:
        pass
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
for name, task in whole.items():
    for more in range(0, 32_000_000, 500_000):
        pid = os.fork()
        if pid == 0:
            resource.setrlimit(resource.RLIMIT_AS, (used + more, used + more))
            status = 0
            try:
                task()
            except container.Damage:
                pass
            except MemoryError:
                status = 71
            sys.exit(status)  # by way of what HDF5 does at the end
        print(name, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not limit addresses")
def test_where_memory_ends_it_is_said_before_hdf5_finds_out():
    """A lack of memory is reported before HDF5 begins a file, since HDF5 would end the process."""
    run = subprocess.run([sys.executable, "-c", LITTLE_MEMORY], capture_output=True, text=True, check=True)

    assert set(run.stdout.splitlines()) == {"write 0", "write 71", "read 0", "read 71"}
    assert run.stderr == ""
