"""Bytes that are not a checkpoint: damaged by chance, or forged by somebody who knows the format."""

import hashlib
import io
import os
import struct
import threading

import h5py
import numpy as np
import pytest

from gmmcli.errors import CheckpointCorrupt, FormatUnknown
from gmmcli.store import container, user_block
from gmmcli.store.checkpoint import decode, encode, rules_of_minor

SUBJECT = "m/checkpoints/ckpt-000000001.h5"


@pytest.fixture(scope="module")
def whole(build, provenance):
    """Return the bytes of a valid checkpoint."""
    return encode(build(provenance=provenance))


def sealed(payload):
    """Return a file whose user block fits its content, as an attacker would make it."""
    return user_block.pack(payload) + payload


def forged(whole, change, **options):
    """Return a valid checkpoint, changed through HDF5 and sealed again."""
    image = io.BytesIO(whole)
    with h5py.File(image, "r+", **options) as file:
        change(file)
    return sealed(image.getvalue()[user_block.SIZE :])


def test_every_flipped_bit_is_refused(whole):
    """One bit at a sample of positions over the whole file, and at every position of the user block."""
    positions = [*range(512), *range(512, len(whole), 97), len(whole) - 1]
    for position in positions:
        data = bytearray(whole)
        data[position] ^= 1 << (position % 8)
        with pytest.raises(CheckpointCorrupt):
            decode(bytes(data), SUBJECT)


@pytest.mark.parametrize("kept", [0, 1, 47, 48, 511, 512, 513, 4096, -1])
def test_a_truncated_file_is_refused(whole, kept):
    """The length of the rest does not matter."""
    with pytest.raises(CheckpointCorrupt, match=r"m/checkpoints/ckpt-000000001.h5: \d+ bytes"):
        decode(whole[:kept], SUBJECT)


def test_bytes_behind_the_end_are_refused(whole):
    """The length of the file is checked too."""
    with pytest.raises(CheckpointCorrupt, match="bytes after the user block, recorded are"):
        decode(whole + b"\0", SUBJECT)


def test_a_zeroed_page_is_refused(whole):
    """A lost write leaves a page of zeros; its place does not matter."""
    pages = [start for start in range(0, len(whole), 4096) if any(whole[start : start + 4096])]
    assert len(pages) >= 4
    for start in pages:
        data = whole[:start] + bytes(len(whole[start : start + 4096])) + whole[start + 4096 :]
        with pytest.raises(CheckpointCorrupt):
            decode(data, SUBJECT)


def test_a_sealed_file_that_is_not_hdf5_is_refused():
    """A right digest does not make a checkpoint."""
    with pytest.raises(CheckpointCorrupt, match="not readable as HDF5"):
        decode(sealed(b"a,b\n1,2\n" * 100), SUBJECT)


def replace_dataset(path, **options):
    """Return a change that puts another dataset under a name."""

    def change(file):
        del file[path]
        file.create_dataset(path, **options)

    return change


def put(path, value):
    """Return a change that puts a link or a committed type under a name."""

    def change(file):
        if path in file:
            del file[path]
        file[path] = value

    return change


def set_attribute(group, name, value, **options):
    """Return a change that sets an attribute."""

    def change(file):
        file[group].attrs.create(name, value, **options)

    return change


def put_virtual(file):
    """Replace the means by a virtual dataset that reads another file."""
    del file["state/means"]
    window = h5py.VirtualLayout((3, 2), "<f8")
    window[:] = h5py.VirtualSource("/etc/passwd", "x", (3, 2))
    file.create_virtual_dataset("state/means", window)


def put_alias(file):
    """Give one dataset two names."""
    del file["mixture/means"]
    file["mixture/means"] = file["state/means"]


def put_group_loop(file):
    """Make a group contain itself."""
    del file["training/run"]
    file["training/run"] = file["training"]


def put_committed_type(file):
    """Store the weights with a committed type, an HDF5 object of its own."""
    del file["state/weights"]
    file["named"] = np.dtype("<f8")
    file.create_dataset("state/weights", (3,), dtype=file["named"], chunks=(3,))
    del file["named"]


def put_unknown_filter(file):
    """Store the weights through a filter that only a plug-in has."""
    del file["state/weights"]
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((3,))
    plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (1,))
    space = h5py.h5s.create_simple((3,))
    h5py.h5d.create(file["state"].id, b"weights", h5py.h5t.IEEE_F64LE, space, plist)


HOSTILE = {
    "external link": (put("state/means", h5py.ExternalLink("/etc/passwd", "/x")), "soft or external link"),
    "soft link": (put("state/means", h5py.SoftLink("/mixture/means")), "soft or external link"),
    "group behind a link": (
        put("state", h5py.ExternalLink("/etc/passwd", "/")),
        "/state is a soft or external link",
    ),
    "virtual dataset": (put_virtual, "not stored in chunks of this file"),
    "external storage": (
        replace_dataset("state/weights", shape=(3,), dtype="<f8", external=[("/etc/passwd", 0, 24)]),
        "not stored in chunks of this file",
    ),
    "contiguous": (replace_dataset("state/weights", data=np.ones(3) / 3), "not stored in chunks"),
    "huge shape": (
        replace_dataset("state/weights", shape=(10**12,), dtype="<f8", chunks=(1024,)),
        "declares 8000000000000 bytes",
    ),
    "huge chunk": (
        replace_dataset("state/weights", shape=(3,), maxshape=(None,), dtype="<f8", chunks=(10**8,)),
        "declares 800000000 bytes",
    ),
    "compression bomb": (
        replace_dataset(
            "training/log_likelihoods", data=np.zeros(10**6), chunks=(10**5,), compression="gzip"
        ),
        "declares 8000000 bytes",
    ),
    "variable-length text": (
        replace_dataset("schema/features", data=["a", "b"], dtype=h5py.string_dtype(), chunks=(2,)),
        "/schema/features has another type than text",
    ),
    "object reference": (
        replace_dataset("state/weights", shape=(3,), dtype=h5py.ref_dtype, chunks=(3,)),
        "another type than float",
    ),
    "sequence": (
        replace_dataset("state/weights", shape=(3,), dtype=h5py.vlen_dtype("<f8"), chunks=(3,)),
        "another type than float",
    ),
    "single precision": (
        replace_dataset("state/weights", shape=(3,), dtype="<f4", chunks=(3,)),
        "another type than float",
    ),
    "rank": (replace_dataset("state/weights", shape=(3, 1), dtype="<f8", chunks=(3, 1)), "has rank 2"),
    "unknown filter": (put_unknown_filter, r"has filters \[32015\]"),
    "lossy filter": (
        replace_dataset("data/rows", data=np.array([1]), chunks=(1,), scaleoffset=4),
        r"has filters \[6\]",
    ),
    "committed type": (put_committed_type, "has a committed type"),
    "two names": (put_alias, "are the same object"),
    "group in itself": (put_group_loop, "/training/run does not have the encoding_type run"),
    "group for a dataset": (
        lambda file: (file.__delitem__("state/means"), file.create_group("state/means")),
        "/state/means is not a dataset",
    ),
    "dataset for a group": (
        lambda file: (file.__delitem__("units"), file.create_dataset("units", data=1)),
        "/units is not a group",
    ),
    "unknown dataset": (lambda file: file.create_dataset("state/extra", data=1), "not part of format 1.2"),
    "unknown group": (lambda file: file.create_group("extra"), "/extra is not part of format 1.2"),
    "missing dataset": (lambda file: file.__delitem__("state/means"), "has no /state/means"),
    "missing group": (lambda file: file.__delitem__("units"), "has no group /units"),
    "missing attribute": (
        lambda file: file["statistics"].attrs.__delitem__("rows"),
        "has no /statistics/rows",
    ),
    "array attribute": (
        set_attribute("statistics", "rows", np.array([1, 2])),
        "rows of /statistics is not a scalar",
    ),
    "empty attribute": (set_attribute("statistics", "rows", h5py.Empty("<i8")), "is not a scalar"),
    "text attribute": (set_attribute("/", "lineage", "abc"), "lineage of / has another type than text"),
    "other program": (set_attribute("/", "format", np.bytes_(b"keras")), "not a checkpoint of gmmcli"),
    "version text": (set_attribute("/", "format_version", np.bytes_(b"one")), "format_version is 'one'"),
    "not UTF-8": (set_attribute("training", "random_state", np.bytes_(b"\xff\xfe")), "not UTF-8"),
    "settings": (set_attribute("training", "settings", np.bytes_(b"[]")), "not a JSON object"),
    "settings NaN": (set_attribute("training", "settings", np.bytes_(b'{"a": NaN}')), "NaN is not a number"),
    "deep settings": (set_attribute("training", "settings", np.bytes_(b"[" * 10**5)), "not JSON"),
    "flag": (set_attribute("training", "converged", np.uint8(7)), "converged is 7, not 0 or 1"),
    "huge weight": (set_attribute("statistics", "total_weight", 1e308), "total_weight is 1e"),
    "huge likelihood": (set_attribute("statistics", "log_likelihood", -1e308), "log_likelihood of the stat"),
    "half a memory": (set_attribute("training/run", "stepwise_first", 3), "memory/stepwise is not whole"),
    "covariance type": (set_attribute("mixture", "covariance_type", np.bytes_(b"cubic")), "is 'cubic'"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_sealed_file_with_anything_else_than_a_checkpoint_is_refused(whole, case):
    """Every kind of HDF5 object that a checkpoint must not contain."""
    change, fact = HOSTILE[case]

    with pytest.raises(CheckpointCorrupt, match=fact) as caught:
        decode(forged(whole, change), SUBJECT)

    assert caught.value.status == 76
    assert caught.value.subject == SUBJECT


INCONSISTENT = {
    "negative weight": (
        "state/weights",
        lambda x: x * [-1, 1, 1],
        "/state: component 0: weight is -0.464498, must be >= 0",
    ),
    "infinite mean": ("mixture/means", lambda x: x + np.inf, "/mixture/means must be finite"),
    "wide means": ("state/means", lambda x: np.hstack([x, x]), "/state: covariances have shape"),
    "short center": ("units/center", lambda x: x[:1], r"/units/center has shape \(1,\), not \(2,\)"),
    "zero scale": ("units/scale", lambda x: x * 0, "a scale that is not within 1e±150"),
    "long counts": ("statistics/counts", lambda x: np.append(x, 1), r"/statistics/counts has shape \(4,\)"),
    "square sums": ("statistics/squares", lambda x: x[0], r"/statistics/squares has shape \(2, 2\)"),
    "NaN sums": ("statistics/sums", lambda x: x * np.nan, "/statistics/sums must be finite"),
    "few quantiles": ("data/quantiles", lambda x: x[:7], "7 quantiles"),
    "long stopping": ("training/stopping", lambda x: np.ones(4), "of the stopping state"),
    "one name": ("schema/features", lambda x: x[:1], "1 features, but means of 2"),
    "two sizes": ("data/sizes", lambda x: np.array([1, 2]), "columns of the operands have 1, 2, 1, 1 rows"),
    "NaN in likelihoods": (
        "training/log_likelihoods",
        lambda x: x * np.nan,
        "/training/log_likelihoods must be finite",
    ),
    "huge scale": ("units/scale", lambda x: x * 1e200, "a scale that is not within 1e±150"),
    "huge mean": ("state/means", lambda x: x * 1e300, "a mean beyond 1e"),
    "huge covariances": ("state/covariances", lambda x: x * 1e308, "a variance out of bounds"),
    "tiny covariances": ("state/covariances", lambda x: x * 1e-308, "a variance out of bounds"),
    "huge sums": ("statistics/sums", lambda x: x + 1e308, "sums of the statistics is beyond 1e"),
    "huge squares": ("statistics/squares", lambda x: x * 1e306, "squares of the statistics is beyond 1e"),
    "huge counts": ("statistics/counts", lambda x: x * 1e306, "counts of the statistics is beyond 1e"),
    "no digest": ("data/digests", lambda x: np.array([b"00"]), "'00' is not a SHA-256"),
}


@pytest.mark.parametrize("case", INCONSISTENT)
def test_a_sealed_file_whose_parts_do_not_fit_is_refused(whole, case):
    """Shapes and values are checked before anything computes with them."""
    path, alter, fact = INCONSISTENT[case]

    def change(file):
        altered = np.asarray(alter(file[path][()]))
        replace_dataset(path, data=altered, chunks=altered.shape)(file)

    with pytest.raises(CheckpointCorrupt, match=fact):
        decode(forged(whole, change), SUBJECT)


@pytest.mark.parametrize(
    "change",
    [
        set_attribute("/", "format_version", np.bytes_(b"2.0")),
        set_attribute("/", "format_version", np.bytes_(b"0.9")),
        set_attribute("units", "encoding_version", np.bytes_(b"2")),
    ],
)
def test_an_unknown_format_is_told_from_damage(whole, change):
    """The file is whole; the message says what to install, and a rollback must not touch it."""
    with pytest.raises(
        FormatUnknown, match=r"has (format [02]\.[09]; this version reads 1\.x|encoding)"
    ) as caught:
        decode(forged(whole, change), SUBJECT)

    assert caught.value.status == 76
    assert caught.value.hint == "pip install --upgrade gmmcli"


def test_a_later_minor_is_read_without_what_is_unknown(build, provenance, whole):
    """Unknown datasets, groups and attributes of format 1.7 are skipped without reading them."""

    def change(file):
        file.attrs["format_version"] = np.bytes_(b"1.7")
        file.attrs["mood"] = "fine"
        file.create_dataset("state/precisions", shape=(10**12,), dtype="<f8", chunks=(1024,))
        file.create_group("novelty")

    back = decode(forged(whole, change), SUBJECT)

    np.testing.assert_array_equal(back.state.means, build(provenance=provenance).state.means)


def test_a_later_minor_may_not_link_elsewhere_either(whole):
    """Only objects of this file are skipped; links to other files are refused."""

    def change(file):
        file.attrs["format_version"] = np.bytes_(b"1.7")
        file["novelty"] = h5py.ExternalLink("/etc/passwd", "/x")

    with pytest.raises(CheckpointCorrupt, match="/novelty is a soft or external link"):
        decode(forged(whole, change), SUBJECT)


def test_unknown_attributes_are_ignored(whole):
    """Attributes of types that a checkpoint does not have are ignored too."""
    data = forged(whole, set_attribute("training", "comment", ["by", "hand"], dtype=h5py.string_dtype()))

    assert decode(data, SUBJECT).global_step == 41


def test_compressed_datasets_are_read(build, provenance, whole):
    """Reading knows gzip and shuffle, though writing does not use them."""
    means = build(provenance=provenance).state.means
    change = replace_dataset(
        "state/means", data=means, chunks=means.shape, compression="gzip", shuffle=True, fletcher32=True
    )

    np.testing.assert_array_equal(decode(forged(whole, change), SUBJECT).state.means, means)


def test_reading_opens_no_other_file(whole, tmp_path):
    """Reading does not open the source of a virtual dataset, here a pipe that would block."""
    pipe = tmp_path / "source0"
    os.mkfifo(pipe)

    def change(file):
        del file["state/means"]
        unlimited = h5py.h5s.UNLIMITED
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        target = h5py.h5s.create_simple((1, 2), (unlimited, 2))
        target.select_hyperslab((0, 0), (unlimited, 1), (1, 1), (1, 2))
        source = h5py.h5s.create_simple((2,))
        plist.set_virtual(target, os.fsencode(tmp_path / "source%b"), b"d", source)
        h5py.h5d.create(file["state"].id, b"means", h5py.h5t.IEEE_F64LE, target, plist)

    data = forged(whole, change)
    outcome = []

    def attempt():
        try:
            decode(data, SUBJECT)
        except CheckpointCorrupt as error:
            outcome.append(error.fact)

    reader = threading.Thread(target=attempt, daemon=True)
    reader.start()
    reader.join(20)

    assert outcome == ["/state/means is not stored in chunks of this file"]


def test_altered_bytes_under_a_right_digest_end_in_a_report(whole):
    """Random changes with a recomputed digest are read or refused; no other exception is raised."""
    rng = np.random.default_rng(7)
    payload = np.frombuffer(whole, np.uint8)[user_block.SIZE :]
    outcomes = {"read": 0, "refused": 0}
    for _ in range(400):
        altered = payload.copy()
        where = rng.integers(0, len(payload), rng.integers(1, 4))
        altered[where] = rng.integers(0, 256, len(where))
        try:
            decode(sealed(altered.tobytes()), SUBJECT)
            outcomes["read"] += 1
        except CheckpointCorrupt:
            outcomes["refused"] += 1
    assert outcomes["read"] > 0
    assert outcomes["refused"] > 0


def test_the_budget_covers_what_gmmcli_writes(whole):
    """The largest checkpoint that gmmcli writes is well within the limits."""
    items = container.read(whole, rules_of_minor)

    assert sum(item.nbytes for item in items.values()) < len(whole)
    assert struct.unpack_from("<Q", whole, 8)[0] == len(whole) - user_block.SIZE
    assert hashlib.sha256(whole[user_block.SIZE :]).digest() == whole[16:48]
