"""A JSON object of long lists, parsed entry by entry.

COCO's instance annotations are 450 MB of text, which would be several gigabytes of Python objects.
Here msgspec checks the text and says where entries lie, and one entry at a time is parsed.
"""

from __future__ import annotations

import codecs

import msgspec

from eomtlib.core.errors import DataError


class JsonLists:
    """The lists of a JSON object, by name.

    Args:
        text: UTF-8.
        where: how errors name the file.

    Raises:
        DataError: when it is no valid JSON.
    """

    def __init__(self, text: bytes, where: str) -> None:
        self.where = where
        try:
            text = text.removeprefix(codecs.BOM_UTF8)
            self._values = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        except msgspec.ValidationError:
            self._values = {}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DataError(f"{where}: is no valid JSON ({error}); fetch it again.") from error

    def entries(self, name: str) -> list[msgspec.Raw]:
        """The texts of a list's entries, each for ``msgspec.json.decode``.

        Raises:
            DataError: when there is no list of that name.
        """
        try:
            return msgspec.json.decode(self._values[name], type=list[msgspec.Raw])
        except (KeyError, msgspec.ValidationError) as error:
            raise DataError(
                f"{self.where}: has no list {name!r}; this is not COCO's format "
                "(https://cocodataset.org/#format-data)."
            ) from error
