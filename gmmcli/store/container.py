"""Conversion between items and the bytes of an HDF5 file, in memory only.

HDF5 never gets a path: on writing it swallows errors and never syncs. Reading trusts nothing: links, types,
ranks, layouts, filters and sizes are checked against the rules before any dataset is read. Does not know what
the items mean.
"""

import io
import math
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5o, h5s, h5t, h5z

from gmmcli.store import layout, user_block, values
from gmmcli.store.layout import AnyArray, Damage, Items, Rule

# Limit on the bytes in memory per byte of the file. gmmcli writes no compressed data and needs less than one.
# It reads gzip, but a small file must not expand to a large one.
MAX_EXPANSION = 64
MAX_ATTRIBUTE_BYTES = 1 << 24
_CHUNK_BYTES = 1 << 20
# The size of a growing file in memory relative to its items, and the memory that HDF5 needs to work.
_GROWTH, _ROOM_BYTES = 1.25, 1 << 23
# The items that state the format of a file.
_VERSION = {path: Rule("text", 0, 0) for path in ("/format", "/format_version")}
Rules: TypeAlias = Mapping[str, Rule]
_FILTERS = frozenset((h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32))


def write(items: Items) -> io.BytesIO:
    """Return an HDF5 file of the items, with 512 bytes at its beginning reserved for the user block.

    The same items give the same bytes: HDF5 records no time, and the order of the items does not matter.

    Raises
    ------
    MemoryError
    """
    _ask_for(sum(item.nbytes for item in items.values()))
    image = io.BytesIO()
    with h5py.File(image, "w", userblock_size=user_block.SIZE, libver=("v110", "v110")) as file:
        for group, encoding_type in sorted(layout.GROUPS.items()):
            attributes = file.require_group(group).attrs
            attributes.create("encoding_type", _tagged(values.from_text(encoding_type)))
            attributes.create("encoding_version", _tagged(values.from_text(layout.ENCODING_VERSION)))
        for path, item in sorted(items.items()):
            group, name = layout.split(path)
            if item.ndim == 0:
                file[group].attrs.create(name, _tagged(item))
            else:
                _write_dataset(file[group], name, item)
    return image


def read(data: bytes, rules_of_minor: Callable[[int], Rules]) -> Items:
    """Return the items of a whole checkpoint file.

    Parameters
    ----------
    data : bytes
    rules_of_minor : callable
        Returns the rules for the items of a minor version.

    Raises
    ------
    Damage
        The file holds something that a checkpoint must not hold, or lacks a required item.
    UnknownFormat
        This version does not know its format_version.
    MemoryError
    """
    _ask_for(len(data))
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            return _read_items(file.id, len(data), rules_of_minor)
    except Damage:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise Damage(f"not readable as HDF5: {error}") from error


def _ask_for(n_bytes: int) -> None:
    """Raise `MemoryError` unless there is memory for `n_bytes` more.

    HDF5 does not survive a lack of memory: it cannot close the file that it began, and ends the process.
    """
    np.empty(int(_GROWTH * n_bytes) + _ROOM_BYTES, np.uint8)  # freed at once; none of its pages is touched


def _write_dataset(group: h5py.Group, name: str, item: AnyArray) -> None:
    """Write an item of rank 1 or more, chunked along its first axis, with a checksum per chunk."""
    # HDF5 allows no chunk of size 0, so an empty dataset has room for one row.
    room = tuple(max(size, 1) for size in item.shape)
    row_bytes = item.itemsize * math.prod(room[1:])
    chunk = (min(room[0], max(1, _CHUNK_BYTES // row_bytes)), *room[1:])
    group.create_dataset(name, data=_tagged(item), chunks=chunk, maxshape=room, fletcher32=True)


def _tagged(item: AnyArray) -> AnyArray:
    """Return the item with its text marked as UTF-8."""
    if item.dtype.kind != "S":
        return item
    return item.astype(h5py.string_dtype("utf-8", item.dtype.itemsize))


def _read_items(file: h5py.h5f.FileID, size_bytes: int, rules_of_minor: Callable[[int], Rules]) -> Items:
    """Check all items, then read them."""
    root = h5g.open(file, b"/")
    minor = _check_version(root)
    rules, skip_unknown = rules_of_minor(minor), minor > layout.MINOR
    items: Items = {}
    datasets: dict[str, h5d.DatasetID] = {}
    budget_bytes = MAX_EXPANSION * size_bytes
    for group, path in _iter_groups(root):
        items.update(_read_attributes(group, path, rules))
        for child, rule in _iter_datasets(group, path, rules, skip_unknown):
            datasets[child] = h5o.open(group, layout.split(child)[1].encode())
            budget_bytes -= _admit(datasets[child], rule, child, budget_bytes)
    _check_one_name_each(datasets)
    items.update((path, _read_dataset(dataset)) for path, dataset in datasets.items())
    missing = next((path for path, rule in rules.items() if rule.required and path not in items), None)
    if missing:
        raise Damage(f"has no {missing}")
    return items


def _check_version(root: h5g.GroupID) -> int:
    """Check format and format_version; return the minor version."""
    attributes = _read_attributes(root, "/", _VERSION)
    for path in ("/format", "/format_version"):
        if path not in attributes:
            raise Damage(f"has no {path}")
    if values.to_text(attributes["/format"]) != layout.FORMAT:
        raise Damage("is an HDF5 file, but not a checkpoint of gmmcli")
    version = values.to_text(attributes["/format_version"])
    major, _, minor = version.partition(".")
    if not (major.isdecimal() and minor.isdecimal() and len(version) < 12):
        raise Damage(f"format_version is {version!r}")
    if int(major) != layout.MAJOR:
        raise layout.UnknownFormat(f"has format {version}; this version reads {layout.MAJOR}.x")
    return int(minor)


def _iter_groups(root: h5g.GroupID) -> Iterator[tuple[h5g.GroupID, str]]:
    """Yield every group of the layout with its path, each checked."""
    opened = {"/": root}
    for path, encoding_type in sorted(layout.GROUPS.items()):
        if path != "/":
            parent, name = layout.split(path)
            link = name.encode()
            # links.exists looks at the name alone; `in` would follow an external link into another file.
            links = opened[parent].links
            if not links.exists(link) or links.get_info(link).type != h5l.TYPE_HARD:
                raise Damage(f"has no group {path}")
            opened[path] = h5o.open(opened[parent], link)
            if not isinstance(opened[path], h5g.GroupID):
                raise Damage(f"{path} is not a group")
        _check_encoding(opened[path], path, encoding_type)
        yield opened[path], path


def _check_encoding(group: h5g.GroupID, path: str, encoding_type: str) -> None:
    """Check the encoding_type and encoding_version of a group."""
    found_type = _read_attribute(group, path, "encoding_type", "text")
    if found_type is None or values.to_text(found_type) != encoding_type:
        raise Damage(f"{path} does not have the encoding_type {encoding_type}")
    version = _read_attribute(group, path, "encoding_version", "text")
    if version is None:
        raise Damage(f"{path} has no encoding_version")
    if values.to_text(version) != layout.ENCODING_VERSION:
        raise layout.UnknownFormat(f"{path} has encoding_version {values.to_text(version)}")


def _iter_datasets(
    group: h5g.GroupID, path: str, rules: Rules, skip_unknown: bool
) -> Iterator[tuple[str, Rule]]:
    """Yield the paths of the known datasets with their rules; check that every link is a hard link."""
    for link in group:
        child = f"{path.rstrip('/')}/{link.decode('utf-8', 'replace')}"
        if group.links.get_info(link).type != h5l.TYPE_HARD:
            raise Damage(f"{child} is a soft or external link")
        if child in layout.GROUPS:
            continue
        rule = rules.get(child)
        if rule is not None and rule.high > 0:
            yield child, rule
        elif not skip_unknown:
            raise Damage(f"{child} is not part of format {layout.FORMAT_VERSION}")


def _check_one_name_each(datasets: dict[str, h5d.DatasetID]) -> None:
    """Refuse one object under two names."""
    addresses: dict[int, str] = {}
    for path, dataset in datasets.items():
        other = addresses.setdefault(h5o.get_info(dataset).addr, path)
        if other != path:
            raise Damage(f"{other} and {path} are the same object")


def _read_attributes(group: h5g.GroupID, path: str, rules: Rules) -> Items:
    """Return the known attributes of a group. Unknown attributes are ignored."""
    items: Items = {}
    for child, rule in rules.items():
        parent, name = layout.split(child)
        if rule.high == 0 and parent == path:
            value = _read_attribute(group, path, name, rule.kind)
            if value is not None:
                items[child] = value
    return items


def _read_attribute(group: h5g.GroupID, path: str, name: str, kind: str) -> AnyArray | None:
    """Return a scalar attribute, or None if there is none of this name."""
    if not h5a.exists(group, name.encode()):
        return None
    attribute = h5a.open(group, name.encode())
    dtype = _admit_type(attribute.get_type(), kind, f"attribute {name} of {path}")
    if attribute.get_space().get_simple_extent_type() != h5s.SCALAR:
        raise Damage(f"attribute {name} of {path} is not a scalar")
    if dtype.itemsize > MAX_ATTRIBUTE_BYTES:
        raise Damage(f"attribute {name} of {path} declares {dtype.itemsize} bytes")
    value = np.empty((), dtype)
    attribute.read(value, mtype=attribute.get_type())
    return value


def _admit(dataset: h5d.DatasetID, rule: Rule, path: str, budget_bytes: int) -> int:
    """Check a dataset without reading it; return its size in bytes."""
    if not isinstance(dataset, h5d.DatasetID):
        raise Damage(f"{path} is not a dataset")
    plist = dataset.get_create_plist()
    # The layout is checked first: to find the shape of a virtual dataset, HDF5 opens other files.
    if plist.get_layout() != h5d.CHUNKED:
        raise Damage(f"{path} is not stored in chunks of this file")
    filters = {plist.get_filter(i)[0] for i in range(plist.get_nfilters())}
    if filters - _FILTERS:
        raise Damage(
            f"{path} has filters {sorted(filters - _FILTERS)}; only gzip, shuffle, fletcher32 are read"
        )
    dtype = _admit_type(dataset.get_type(), rule.kind, path)
    if not rule.low <= dataset.rank <= rule.high:
        raise Damage(f"{path} has rank {dataset.rank}")
    n_bytes = int(dtype.itemsize * math.prod(dataset.shape))
    chunk_bytes = dtype.itemsize * math.prod(plist.get_chunk())
    if max(n_bytes, chunk_bytes) > budget_bytes:
        raise Damage(f"{path} declares {max(n_bytes, chunk_bytes)} bytes, more than such a file can hold")
    return n_bytes


def _admit_type(stored: h5t.TypeID, kind: str, what: str) -> "np.dtype[np.generic]":
    """Return the numpy type of an HDF5 type, which must be the one type that `kind` admits."""
    if stored.committed():
        raise Damage(f"{what} has a committed type")
    if kind == "text":
        if stored.get_class() == h5t.STRING and not stored.is_variable_str():
            return np.dtype(f"S{stored.get_size()}")
    elif stored.equal(h5t.py_create(layout.DTYPES[kind])):
        return layout.DTYPES[kind]
    raise Damage(f"{what} has another type than {kind}")


def _read_dataset(dataset: h5d.DatasetID) -> AnyArray:
    """Read a dataset that `_admit` has checked."""
    stored = dataset.get_type()
    text = stored.get_class() == h5t.STRING
    numbers = np.empty(dataset.shape, f"S{stored.get_size()}" if text else stored.dtype)
    dataset.read(h5s.ALL, h5s.ALL, numbers, mtype=stored)
    numbers.setflags(write=False)  # so that a mixture keeps it without a copy
    return numbers
