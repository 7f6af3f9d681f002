"""A JSON object of long lists, parsed entry by entry.

COCO's instance annotations are 450 MB of text, which would be several gigabytes of Python objects.
Here the text is searched for where entries begin and end, and one entry at a time is parsed.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from eomtlib.core.errors import DataError
from eomtlib.data.decoding.compiled import compiled

_QUOTE, _ESCAPE, _COMMA, _COLON = (ord(character) for character in '"\\,:')
_LIST, _OBJECT = (ord(character) for character in "[{")
_TO_CLOSING = 2
"""From the code of an opening bracket or brace to that of the one that closes it."""


class JsonLists:
    """The lists of a JSON object, by name.

    Args:
        text: UTF-8.
        where: how errors name the file.

    Raises:
        DataError: when brackets and quotes do not match. What lies between them is checked when an
            entry is parsed.
    """

    def __init__(self, text: bytes, where: str) -> None:
        self.text, self.where = text, where
        self._data = np.frombuffer(text, np.uint8)
        start = _skip_blanks(self._data, 0)
        self._values: dict[str, tuple[int, int]] = {}
        if start == len(text):
            raise self._invalid("it is empty")
        if text[start] != _OBJECT:
            return
        parts, end = _parts(self._data, start)
        if end < 0 or _skip_blanks(self._data, end) < len(text):
            raise self._invalid("brackets or quotes do not match")
        for key, value in zip(parts[::2].tolist(), parts[1::2].tolist(), strict=True):
            self._values[str(self.parse(key))] = tuple(value)

    def spans(self, name: str) -> np.ndarray:
        """Where the entries of a list begin and end in the text, ``[N, 2]`` int64.

        Raises:
            DataError: when there is no list of that name.
        """
        start, end = self._values.get(name, (0, 0))
        if start == end or self.text[start] != _LIST:
            raise DataError(
                f"{self.where}: has no list {name!r}; this is not COCO's format "
                "(https://cocodataset.org/#format-data)."
            )
        parts, end = _parts(self._data, start)
        if end < 0:
            raise self._invalid(f"the list {name!r} is damaged")
        return parts

    def entry(self, span: np.ndarray | list[int]) -> Any:
        """Parses one entry.

        Raises:
            ValueError: when it is no valid JSON.
        """
        try:
            return json.loads(self.text[span[0] : span[1]])
        except RecursionError as error:
            raise ValueError("is nested too deeply") from error

    def parse(self, span: np.ndarray | list[int]) -> Any:
        """As ``entry``, but what is no valid JSON is a ``DataError`` that names the file."""
        try:
            return self.entry(span)
        except ValueError as error:
            raise self._invalid(error) from error

    def _invalid(self, why: object) -> DataError:
        return DataError(f"{self.where}: is no valid JSON ({why}); fetch it again.")


@compiled
def _skip_blanks(data: np.ndarray, position: int) -> int:
    """The first position from this one on that is not blank."""
    while position < len(data) and data[position] in (32, 9, 10, 13):
        position += 1
    return position


@compiled
def _value_end(data: np.ndarray, start: int) -> int:
    """Where the value at ``start`` ends, −1 where it does not; brackets are counted, no more."""
    depth, quoted, position = 0, False, start
    while position < len(data):
        code = data[position]
        if quoted:
            if code == _ESCAPE:
                position += 1
            elif code == _QUOTE:
                quoted = False
                if depth == 0:
                    return position + 1
        elif code == _QUOTE:
            quoted = True
        elif code in (_LIST, _OBJECT):
            depth += 1
        elif code in (_LIST + _TO_CLOSING, _OBJECT + _TO_CLOSING):
            depth -= 1
            if depth <= 0:
                return position + 1 if depth == 0 else position
        elif depth == 0 and code in (_COMMA, _COLON, 32, 9, 10, 13):
            return position
        position += 1
    return -1


@compiled
def _parts(data: np.ndarray, start: int) -> tuple[np.ndarray, int]:
    """The entries of the list at ``start``, or in turn the keys and values of the object.

    Returns:
        Where each begins and ends, ``[N, 2]`` int64, and where the whole ends: −1 if it does not.
    """
    closing, is_object = data[start] + _TO_CLOSING, data[start] == _OBJECT
    spans, count = np.empty((64, 2), np.int64), 0
    position = _skip_blanks(data, start + 1)
    if position < len(data) and data[position] == closing:
        return spans[:0], position + 1
    while True:
        end = _value_end(data, position)
        if end <= position:
            return spans[:0], -1
        if count == len(spans):
            longer = np.empty((2 * count, 2), np.int64)
            longer[:count] = spans
            spans = longer
        spans[count, 0], spans[count, 1] = position, end
        count += 1
        position = _skip_blanks(data, end)
        between = _COLON if is_object and count % 2 else _COMMA
        if position == len(data):
            return spans[:0], -1
        if data[position] != between:
            whole = data[position] == closing and between == _COMMA
            return spans[:count].copy(), position + 1 if whole else -1
        position = _skip_blanks(data, position + 1)
