"""Names that would do harm if a page took them for more than text, and what a page is made of."""

from html.parser import HTMLParser

from eomtlib.core.structures import ClassInfo

NAMES = (
    "</script><script>window.harm = 1</script>",
    '"><img src=x onerror="window.harm = 2">',
    "<!--<script>",
    "' onmouseover='window.harm = 3",
    "{{ 7 * 7 }} & ${window.harm = 4}",
    "\u2028javascript:window.harm=5",
)


class Elements(HTMLParser):
    """The tags of a page with their attributes, and its text, as a browser takes them."""

    def __init__(self, page):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def count(self, tag):
        return sum(name == tag for name, _ in self.found)


def named(names):
    """Classes of these names."""
    return [ClassInfo(name, True, place) for place, name in enumerate(names)]
