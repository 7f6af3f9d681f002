import json
import random

import msgspec
import pytest

from eomtlib.core.errors import DataError
from eomtlib.data.decoding.json_lists import JsonLists


def value(rng, depth):
    kind = rng.randrange(8 if depth else 5)
    if kind < 2:
        return rng.choice([0, -1.5e-7, 1e300, True, False, None, 12345])
    if kind < 5:
        return "".join(rng.choice('a"\\[]{},: \n\té€😀') for _ in range(rng.randrange(9)))
    if kind < 7:
        return [value(rng, depth - 1) for _ in range(rng.randrange(5))]
    return {str(k): value(rng, depth - 1) for k in range(rng.randrange(4))}


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_entries_are_those_of_the_json_module(indent, ascii_only):
    rng = random.Random(7)
    for _ in range(150):
        content = {name: [value(rng, 3) for _ in range(rng.randrange(70))] for name in ("a", 'b"]')}
        content = {"before": value(rng, 2)} | content | {"after": value(rng, 2)}
        text = json.dumps(content, indent=indent, ensure_ascii=ascii_only).encode()
        lists = JsonLists(text, "x.json")
        for name in ("a", 'b"]'):
            assert [msgspec.json.decode(entry) for entry in lists.entries(name)] == content[name]


@pytest.mark.parametrize(
    "text",
    ["", " ", "{", '{"a"', '{"a": [1}', '{"a": [1], }', '{"a": [1]} x', '{"a" [1]}', '{"a: [1]}'],
)
def test_what_is_no_object_is_named(text):
    with pytest.raises(DataError, match=r"x\.json: is no valid JSON"):
        JsonLists(text.encode(), "x.json").entries("a")


@pytest.mark.parametrize("text", ["[1]", "{}", '{"a": 1}', '{"a": {"b": 1}}', "1"])
def test_a_list_that_is_not_there_is_named(text):
    with pytest.raises(DataError, match=r"x\.json: has no list 'a'"):
        JsonLists(text.encode(), "x.json").entries("a")


@pytest.mark.parametrize("text", ['{"a": [1,, 2]}', '{"a": [1:2]}', '{"a": [NaN]}', '{"a": [1,]}'])
def test_a_damaged_list_is_named(text):
    with pytest.raises(DataError, match=r"x\.json: is no valid JSON"):
        JsonLists(text.encode(), "x.json").entries("a")
