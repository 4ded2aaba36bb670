"""The items of a checkpoint, derived from the dataclasses that it stores.

A number, a flag, a text or a mapping is stored as an attribute, an array or a tuple of texts as a dataset. A
dataclass is a group, or a prefix of names in the group around it. A tuple of records is a dataset per field.
"""

import functools
import json
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from gmmcli.store import layout, values
from gmmcli.store.layout import DTYPES, AnyArray, Damage, Items, Kind, Rule

Route = tuple[str, ...]
_KINDS: dict[Any, Kind] = {float: "float", int: "integer", bool: "flag", str: "text"}


def stored(at: str, *, counts: bool = False, omit: str = "", **details: Any) -> Any:
    """Return a field of a dataclass, with the place where it is stored.

    Parameters
    ----------
    at : str
        Path of the item or group; for a field of a record, the name of its dataset.
    counts : bool
        Whether the field is part of the content digest.
    omit : str
        For a field that holds a dataclass: a field of that dataclass that another group stores.
    **details
        As for `dataclasses.field`.
    """
    return field(metadata={"at": at, "counts": counts, "omit": omit}, **details)


@dataclass(frozen=True)
class Leaf:
    """A field that is stored as one item.

    Parameters
    ----------
    path : str
    route : tuple of str
        Names of the fields from the outermost dataclass to this field.
    rule : Rule
    shape : tuple of str
        Names of the sizes of an array.
    form : {"scalar", "array", "texts", "json", "column"}
    """

    path: str
    route: Route
    rule: Rule
    shape: tuple[str, ...] = ()
    form: Literal["scalar", "array", "texts", "json", "column"] = "scalar"


def leaves(
    kind: Any,
    prefix: str = "",
    route: Route = (),
    *,
    counts: bool = False,
    required: bool = True,
    omit: str = "",
) -> Iterator[Leaf]:
    """Yield the leaves of a dataclass, one for each item that it is stored as."""
    hints = get_type_hints(kind, include_extras=True)
    for one in fields(kind):
        if one.name == omit:
            continue
        at, hint, is_optional = one.metadata.get("at", one.name), *_without_none(hints[one.name])
        path, own = at if at.startswith("/") else prefix + at, (*route, one.name)
        is_counted = counts or one.metadata.get("counts", False)
        is_required = required and not is_optional
        if is_dataclass(hint):
            # A dataclass with its own path is a group; any other is a prefix.
            inner = path.rstrip("/") + ("/" if at.startswith("/") else "_")
            inner_omit = one.metadata.get("omit", "")
            yield from leaves(hint, inner, own, counts=is_counted, required=is_required, omit=inner_omit)
        elif get_origin(hint) is tuple and is_dataclass(get_args(hint)[0]):
            for leaf in leaves(get_args(hint)[0], f"{path}/", own):
                yield Leaf(leaf.path, leaf.route, Rule(leaf.rule.kind, 1, 1), form="column")
        else:
            yield _leaf(path, own, hint, is_counted, is_required)


def _leaf(path: str, route: Route, hint: Any, counts: bool, required: bool) -> Leaf:
    """Return the leaf of a field that holds no dataclass."""
    if get_origin(hint) is Annotated:
        shape: tuple[str, ...] = get_args(hint)[1]
        low, high = (1, 3) if shape == ("covariances",) else (len(shape), len(shape))
        return Leaf(path, route, Rule("float", low, high, counts, required), shape, "array")
    if get_origin(hint) is np.ndarray:
        return Leaf(path, route, Rule("float", 1, 1, counts, required), form="array")
    if get_origin(hint) is tuple:
        return Leaf(path, route, Rule("text", 1, 1, counts, required), form="texts")
    if hint in _KINDS or get_origin(hint) is Literal:
        return Leaf(path, route, Rule(_KINDS.get(hint, "text"), 0, 0, counts, required))
    return Leaf(path, route, Rule("text", 0, 0, counts, required), form="json")


def _without_none(hint: Any) -> tuple[Any, bool]:
    """Return a type without its None, and whether it allowed None."""
    if get_origin(hint) in (Union, types.UnionType):
        (other,) = (one for one in get_args(hint) if one is not types.NoneType)
        return other, True
    return hint, False


def collect(value: Any, found: Iterable[Leaf]) -> Items:
    """Return the items of a dataclass. A field that is None has no item.

    Raises
    ------
    Damage
        A text cannot be stored.
    ValueError
        A mapping holds NaN or an infinity.
    """
    items: Items = {}
    for leaf in found:
        here, route = value, leaf.route
        while route and here is not None and not (leaf.form == "column" and len(route) == 1):
            here, route = getattr(here, route[0]), route[1:]
        if leaf.form == "column":
            here = [getattr(record, route[0]) for record in here]
        if here is not None and not (leaf.form == "array" and not leaf.rule.required and not here.size):
            items[leaf.path] = _to_item(leaf, here)
    return items


def _to_item(leaf: Leaf, value: Any) -> AnyArray:
    """Return the item of a value."""
    if leaf.rule.kind != "text":
        return np.asarray(value, DTYPES[leaf.rule.kind], order="C")
    if leaf.form == "json":
        # With sorted keys, so that the same mapping gives the same text.
        return values.from_text(json.dumps(dict(value), sort_keys=True, allow_nan=False))
    return values.from_text(value) if leaf.form == "scalar" else values.from_texts(tuple(value))


def restore(kind: type, items: Items, found: Iterable[Leaf], given: Mapping[str, Any]) -> Any:
    """Return the dataclass that the items describe.

    Parameters
    ----------
    kind : type
    items : dict of ndarray
        Each follows the rule of its leaf.
    found : iterable of Leaf
    given : mapping
        Values, by name, of fields that are not restored from items, in every dataclass.

    Raises
    ------
    Damage
        A value is absent, not finite, out of range, or refused by its dataclass.
    """
    known = {leaf.route: _to_value(leaf, items[leaf.path]) for leaf in found if leaf.path in items}
    return _build(kind, known, (), given)


def _build(kind: Any, known: Mapping[Route, Any], route: Route, given: Mapping[str, Any]) -> Any:
    """Return a dataclass from the known values, by the routes of its fields."""
    arguments: dict[str, Any] = {}
    hints = get_type_hints(kind, include_extras=True)
    for one in fields(kind):
        own, (hint, is_optional) = (*route, one.name), _without_none(hints[one.name])
        if one.name in given:
            arguments[one.name] = given[one.name]
        elif is_dataclass(hint):
            is_there = any(other[: len(own)] == own for other in known)
            if is_there or not is_optional:
                arguments[one.name] = _build(hint, known, own, given)
        elif get_origin(hint) is tuple and is_dataclass(get_args(hint)[0]):
            arguments[one.name] = _build_records(get_args(hint)[0], known, own)
        elif own in known:
            arguments[one.name] = known[own]
        elif is_optional:
            arguments[one.name] = None
    try:
        return kind(**arguments)
    except TypeError as error:
        raise Damage(f"{'/'.join(route) or 'the checkpoint'} is not whole: {error}") from error
    except ValueError as error:
        raise Damage(f"/{'/'.join(route)}: {error}") from error


def _build_records(kind: Any, known: Mapping[Route, Any], route: Route) -> tuple[Any, ...]:
    """Return records from their columns."""
    columns = [known[(*route, one.name)] for one in fields(kind)]
    if len(set(map(len, columns))) > 1:
        raise Damage(f"the columns of the {route[-1]} have {', '.join(str(len(c)) for c in columns)} rows")
    return tuple(map(kind, *columns))


def _to_value(leaf: Leaf, item: AnyArray) -> Any:
    """Return the value of an item."""
    match leaf.rule.kind:
        case "text" if leaf.form == "json":
            return values.to_json(item)
        case "text" if leaf.form == "scalar":
            return values.to_text(item)
        case "text":
            return values.to_texts(item)
        case "flag":
            if item not in (0, 1):
                raise Damage(f"{leaf.path} is {int(item)}, not 0 or 1")
            return bool(item)
        case "integer":
            if not ((item >= -1) & (item <= layout.MOST_INTEGER)).all():
                raise Damage(f"{leaf.path} must be within -1 and {layout.MOST_INTEGER}")
            return item.tolist() if leaf.form == "column" else int(item)
        case "float":
            if not np.isfinite(item).all():
                raise Damage(f"{leaf.path} must be finite")
            return item if leaf.form == "array" else float(item)


def check_shapes(value: Any, found: Iterable[Leaf], sizes: Mapping[str, Any]) -> None:
    """Check that the shapes of arrays agree. An array without names of sizes may have any length.

    Parameters
    ----------
    value : dataclass
    found : iterable of Leaf
    sizes : mapping
        The sizes "K" and "d", and the whole shape of "covariances".

    Raises
    ------
    Damage
    """
    for leaf in found:
        if leaf.form == "array":
            array = functools.reduce(lambda here, name: here and getattr(here, name), leaf.route, value)
            if array is None:
                continue
            whole = leaf.shape == ("covariances",)
            expected = sizes["covariances"] if whole else tuple(map(sizes.get, leaf.shape))
            if array.shape != (expected or (array.size,)):
                raise Damage(f"{leaf.path} has shape {array.shape}, not {expected or (array.size,)}")
