"""Patterns in which only `*` is special: it stands for any text, also an empty one.

Used for the names in settings and for the conditions of a selection.
"""


def matches(pattern: str, text: str) -> bool:
    """Return whether a pattern describes a whole text, in time linear to the text for each `*`."""
    first, *others = pattern.split("*")
    if not others:
        return text == pattern
    *middle, last = others
    if not text.startswith(first) or not text.endswith(last):
        return False
    place, end = len(first), len(text) - len(last)
    for part in middle:
        place = text.find(part, place, end)
        if place < 0:
            return False
        place += len(part)
    return place <= end
