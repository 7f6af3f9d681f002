"""XML that somebody sent, as a tree whose nodes know their lines.

A document type is refused: entities that it defines can make a gigabyte of a few lines, or name
files of this machine. Without one, expat knows only the five of XML itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from eomtlib.core.errors import DataError

_DEPTH = 64


@dataclass
class Node:
    """An element.

    Attributes:
        name: of the element.
        values: of its attributes.
        line: where it begins.
        nodes: what it holds, in order.
        text: of its own.
    """

    name: str
    values: dict[str, str]
    line: int
    nodes: list[Node] = field(default_factory=list)
    text: str = ""

    def named(self, name: str) -> Iterator[Node]:
        """Elements right below."""
        return (node for node in self.nodes if node.name == name)

    def below(self, name: str) -> Iterator[Node]:
        """Elements at any depth."""
        for node in self.nodes:
            if node.name == name:
                yield node
            yield from node.below(name)


def parse_xml(content: bytes, where: str) -> Node:
    """The root of a document.

    Raises:
        DataError: for what is no XML, or has a document type; names the file and the line.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    stack = [Node("", {}, 0)]

    def start(name: str, values: dict[str, str]) -> None:
        if len(stack) > _DEPTH:
            raise DataError(f"{where}:{parser.CurrentLineNumber}: is nested too deeply.")
        node = Node(name, values, parser.CurrentLineNumber)
        stack[-1].nodes.append(node)
        stack.append(node)

    def add_text(text: str) -> None:
        stack[-1].text += text

    def refuse(*_: object) -> None:
        raise DataError(
            f"{where}:{parser.CurrentLineNumber}: has a document type, which is not read as it may "
            "define entities; remove the line that begins with <!DOCTYPE."
        )

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: stack.pop()
    parser.CharacterDataHandler = add_text
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        text = expat.ErrorString(error.code)
        raise DataError(
            f"{where}:{error.lineno}: is no valid XML ({text}); export it again."
        ) from error
    return stack[0].nodes[0]
