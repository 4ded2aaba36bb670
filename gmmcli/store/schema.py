"""The layout of a checkpoint, derived from the dataclasses that it stores.

A number, a flag, a text or a mapping is an attribute; an array or a tuple of texts is a dataset; a dataclass
is a group, or a prefix in the group that holds it; a tuple of records is a dataset for each of their fields.
"""

import functools
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from gmmcli.store import values
from gmmcli.store.layout import DTYPES, AnyArray, Damage, Items, Kind, Rule

Route = tuple[str, ...]
_KINDS: dict[Any, Kind] = {float: "float", int: "integer", bool: "flag", str: "text"}


def stored(at: str, *, counts: bool = False, omit: str = "", **details: Any) -> Any:
    """Return the field of a dataclass that says where it is stored.

    Parameters
    ----------
    at : str
        Path of the item or of the group; of a field of a record the name of its dataset.
    counts : bool
        Whether it is part of the content digest.
    omit : str
        Field of a dataclass that is not stored with it, because another group holds it.
    **details
        As for `dataclasses.field`.
    """
    return field(metadata={"at": at, "counts": counts, "omit": omit}, **details)


@dataclass(frozen=True)
class Leaf:
    """A value that is stored as one item.

    Parameters
    ----------
    path : str
    route : tuple of str
        Names of the fields that lead to it.
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
    """Yield every item that a dataclass is stored as."""
    hints = get_type_hints(kind, include_extras=True)
    for one in fields(kind):
        if one.name == omit:
            continue
        at, hint, is_optional = one.metadata.get("at", one.name), *_without_none(hints[one.name])
        path, own = at if at.startswith("/") else prefix + at, (*route, one.name)
        is_counted = counts or one.metadata.get("counts", False)
        is_required = required and not is_optional
        if is_dataclass(hint):
            # A dataclass with a path of its own is a group, any other a prefix.
            inner = path.rstrip("/") + ("/" if at.startswith("/") else "_")
            inner_omit = one.metadata.get("omit", "")
            yield from leaves(hint, inner, own, counts=is_counted, required=is_required, omit=inner_omit)
        elif get_origin(hint) is tuple and is_dataclass(get_args(hint)[0]):
            for leaf in leaves(get_args(hint)[0], f"{path}/", own):
                yield Leaf(leaf.path, leaf.route, Rule(leaf.rule.kind, 1, 1), form="column")
        else:
            yield _leaf(path, own, hint, is_counted, is_required)


def _leaf(path: str, route: Route, hint: Any, counts: bool, required: bool) -> Leaf:
    """Return the item of a field that is no dataclass."""
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
    """Return a type without None, and whether None was allowed."""
    if get_origin(hint) in (Union, types.UnionType):
        (other,) = (one for one in get_args(hint) if one is not types.NoneType)
        return other, True
    return hint, False


def collect(value: Any, found: Iterable[Leaf]) -> Items:
    """Return the items of a value; what is None has none.

    Raises
    ------
    Damage
        A text cannot be stored.
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
    if leaf.form == "json":
        return values.from_json(value)
    match leaf.rule.kind:
        case "text" if leaf.form == "scalar":
            return values.from_text(value)
        case "text":
            return values.from_texts(tuple(value))
        case "flag":
            return np.array(value, DTYPES["flag"])
        case "integer":
            return values.from_integers(value)
        case "float":
            return values.from_floats(value)


def restore(kind: type, items: Items, found: Iterable[Leaf], given: Mapping[str, Any]) -> Any:
    """Return the dataclass that items stand for.

    Parameters
    ----------
    kind : type
    items : dict of ndarray
        Each keeps its rule.
    found : iterable of Leaf
    given : mapping
        Values of the fields that are not stored wherever a dataclass has them.

    Raises
    ------
    Damage
        A value is absent, not finite, or none that the dataclass takes.
    """
    known = {leaf.route: _to_value(leaf, items[leaf.path]) for leaf in found if leaf.path in items}
    return _build(kind, known, (), given)


def _build(kind: Any, known: Mapping[Route, Any], route: Route, given: Mapping[str, Any]) -> Any:
    """Return a dataclass from the values of its fields, by their routes."""
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
    """Return the value that an item stands for."""
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
            return item.tolist() if leaf.form == "column" else int(item)
        case "float":
            if not np.isfinite(item).all():
                raise Damage(f"{leaf.path} must be finite")
            return item if leaf.form == "array" else float(item)


def check_shapes(value: Any, found: Iterable[Leaf], sizes: Mapping[str, Any]) -> None:
    """Check that arrays have the shapes that each other's shapes ask for.

    Parameters
    ----------
    value : dataclass
    found : iterable of Leaf
    sizes : mapping
        Of K and d; under "covariances" a whole shape.

    Raises
    ------
    Damage
    """
    for leaf in found:
        if leaf.shape:
            array = functools.reduce(lambda here, name: here and getattr(here, name), leaf.route, value)
            whole = leaf.shape == ("covariances",)
            expected = sizes["covariances"] if whole else tuple(map(sizes.get, leaf.shape))
            if array is not None and array.shape != expected:
                raise Damage(f"{leaf.path} has shape {array.shape}, not {expected}")
