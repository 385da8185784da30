"""Check a recording's own message definitions before code is made of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
import re
from typing import Any

from moss_perception.core.errors import BagError

# The longest definition of the common packages has 20 kB, with the types that it uses.
_LONGEST, _MOST_TYPES = 1 << 18, 500
# Of a message without its sequences, once all types in it are written out. A camera's calibration
# has 60; each value of an array of messages or strings becomes a line of code.
_MOST_VALUES = 10_000
_SEPARATOR = re.compile(r'^={10,}\s*$', re.MULTILINE)
_NAME = re.compile(r'\s*MSG:\s*(\S+)')
_FIELD = re.compile(r'\s*([\w/]+)(?:<=\d+)?(\[[^\]]*\])?\s+[A-Za-z]\w*\s*(=?)')
_BASIC = frozenset((
    'bool', 'byte', 'char', 'float32', 'float64', 'int8', 'uint8', 'int16', 'uint16', 'int32',
    'uint32', 'int64', 'uint64', 'wstring', 'string'))


@dataclass
class _Type:
    """Fields of a message type: type, and how many of it; ``None`` for a sequence."""

    fields: list[tuple[str, int | None]] = field(default_factory=list)


def check_definition(text: str, msgtype: str) -> None:
    """
    Check the definition of a message type, with the types that it uses.

    An array of billions, or types that multiply one another, would take all memory before a
    message is read. An empty message takes no bytes, so that a sequence may have billions.

    :param text: as rosbag2 records it.
    :param msgtype: such as ``sensor_msgs/msg/Image``.
    :raises BagError: if it is too large, or refers to itself.
    """
    if len(text) > _LONGEST:
        raise BagError(f'{len(text)} characters: expected at most {_LONGEST}')
    first, *others = _SEPARATOR.split(text)
    if len(others) >= _MOST_TYPES:
        raise BagError(f'{len(others) + 1} types: expected at most {_MOST_TYPES}')
    types = {_short(msgtype): _parsed(first)}
    for part in others:
        named = _NAME.match(part)
        if named:
            types[_short(named[1])] = _parsed(part[named.end():])
    _count(_short(msgtype), types, {}, ())


def check_fields(store: Any, standard: Any, msgtype: str) -> None:
    """
    Check that a type has the fields that the distributions give it, and so have those in it.

    :param store: of rosbags, with the type as the recording defines it; more fields are allowed.
    :param standard: of rosbags, with the types of a distribution; others are not compared.
    :raises BagError: if a field is missing or of another type.
    """
    left, seen = [msgtype], set()
    while left:
        name = left.pop()
        if name in seen or name not in store.fielddefs or name not in standard.fielddefs:
            continue
        seen.add(name)
        own = dict(store.fielddefs[name][1])
        for field_name, kind in standard.fielddefs[name][1]:
            if own.get(field_name) != kind:
                what = 'another type' if field_name in own else 'no such field'
                raise BagError(f'{field_name!r} of {name}: {what}, expected it as in ROS 2')
            left += _names(kind)


def _names(kind: tuple) -> list[str]:
    """Name the message type of a field, or of the values in its array; none for a basic type."""
    while isinstance(kind[1], tuple) and isinstance(kind[1][0], tuple):
        kind = kind[1][0]
    return [kind[1]] if isinstance(kind[1], str) else []


def _parsed(text: str) -> _Type:
    found = _Type()
    for line in text.splitlines():
        one = _FIELD.match(line.partition('#')[0])
        if one is None or one[3]:
            # A constant has a value.
            continue
        name, array = one[1], one[2]
        size = 1 if array is None else int(array[1:-1]) if array[1:-1].isdecimal() else None
        if name in _BASIC and name not in ('string', 'wstring') and size is not None:
            if size > _LONGEST:
                raise BagError(f'an array of {size} {name}: expected at most {_LONGEST}')
            # NumPy reads an array of numbers at once.
            size = 1
        found.fields.append((name, size))
    return found


def _count(name: str, types: Mapping[str, _Type], known: dict[str, int],
           above: tuple[str, ...]) -> int:
    """Return how many values a message has, not counting those in sequences."""
    if name in _BASIC or name not in types:
        return 1
    if name in known:
        return known[name]
    if name in above:
        raise BagError(f'{name} contains itself')
    total = 0
    for kind, size in types[name].fields:
        kind = _within(kind, name, types)
        each = _count(kind, types, known, (*above, name))
        if not each and size != 1:
            raise BagError(f'an array of {kind}, which is empty')
        total += 1 if size is None else size * each
        if total > _MOST_VALUES:
            raise BagError(f'{name} has more than {_MOST_VALUES} values')
    known[name] = total
    return total


def _within(kind: str, name: str, types: Mapping[str, _Type]) -> str:
    """Return a type's full name; one without a package is of the same."""
    if kind in _BASIC or '/' in kind:
        return _short(kind)
    beside = f'{name.rpartition("/")[0]}/{kind}'
    # Definitions of old tools leave the package of std_msgs/Header out.
    return beside if beside in types else next(
        (x for x in types if x.endswith(f'/{kind}')), beside)


def _short(name: str) -> str:
    """Return a type's name without the part msg."""
    package, _, last = name.rpartition('/')
    return f'{package.removesuffix("/msg")}/{last}' if package else last
