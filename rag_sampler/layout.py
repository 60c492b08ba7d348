"""How a layout is written: boxes in fractions of the image, split ratios, prompts separated by BREAK."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import floor, isfinite

from .picture import Picture, TokenBox

_SLACK = 1e-3
"""Tokens by which a box may miss a token edge: 1/3 written as 0.3333 still reaches its token."""

_PLAIN = str.maketrans(
    "，、；：。．％／　０１２３４５６７８９()[]{}（）［］｛｝【】:", ",,;,..%/ 0123456789" + 14 * " " + ","
)
"""Ratios as they are typed elsewhere: full-width signs, a colon between values, brackets. One character for one, so
that places in messages are those of the text."""

NEAR_BREAK = " \t\r\n\u3000,;，；、"
"""What does not count next to the word BREAK."""

_OTHER_MARKS = re.compile(r"\b(?:ADDCOMM|ADDBASE|ADDCOL|ADDROW|AND)\b")
"""What separates prompts in other packs."""

BORDER_SLACK = 2e-3
"""Fraction of the image by which rounded decimals may reach over its border (0.334 + 0.667)."""

SPLIT_RATIO_EXAMPLES = (
    '"0.5, 0.5" (two columns), "0.5; 0.5" (two rows), "1,2,1; 2,1,1" (two rows of two cells)'
)


class LayoutError(ValueError):
    """A layout that cannot be understood; the message shows what was found and what would be right."""


@dataclass(frozen=True)
class Box:
    """A free rectangle in fractions of the image, origin at the top left.

    The paper calls x, y, width and height m_offset, n_offset, m_scale and n_scale.
    """

    x: float
    y: float
    width: float
    height: float

    def __post_init__(self) -> None:
        for name, start, extent, size in (
            ("x", self.x, "width", self.width),
            ("y", self.y, "height", self.height),
        ):
            if not (isfinite(start) and isfinite(size)):
                raise LayoutError(
                    f"{name} is {start} and {extent} is {size}; both have to be numbers from 0 to 1"
                )
            if size <= 0:
                raise LayoutError(f"{extent} is {size:g}; it has to be above 0")
            if start < 0 or start + size > 1 + BORDER_SLACK:
                raise LayoutError(
                    f"the box leaves the image: it runs from {name} {start:g} to "
                    f"{name} + {extent} = {start + size:g}, and both ends have to lie between 0 and 1"
                )

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in fractions of the image."""
        return self.x, self.y, min(self.x + self.width, 1.0), min(self.y + self.height, 1.0)

    def bound_tokens(self, picture: Picture) -> TokenBox:
        """The tokens that Hard Binding replaces: offset and size are rounded down each on its own, as published."""
        columns, rows = picture.width / picture.patch, picture.height / picture.patch
        x0, y0 = floor(self.x * columns + _SLACK), floor(self.y * rows + _SLACK)
        x1, y1 = x0 + floor(self.width * columns + _SLACK), y0 + floor(self.height * rows + _SLACK)
        return TokenBox(y0, min(y1, picture.rows), x0, min(x1, picture.columns))

    def guided_tokens(self, picture: Picture) -> TokenBox:
        """The tokens that attention methods guide: both edges rounded down, so that touching boxes touch."""
        return _edge_tokens(self.edges, picture, _SLACK)


@dataclass(frozen=True)
class Cell:
    """A cell of a split ratio, by its edges in fractions of the image, so that neighbours always meet."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in fractions of the image."""
        return self.left, self.top, self.right, self.bottom

    def bound_tokens(self, picture: Picture) -> TokenBox:
        """The tokens of the cell, as published: edges rounded down."""
        return _edge_tokens(self.edges, picture, 0.0)

    guided_tokens = bound_tokens


def _edge_tokens(edges: tuple[float, ...], picture: Picture, slack: float) -> TokenBox:
    left, top, right, bottom = edges

    def token(fraction: float, pixels: int, all_of_them: int) -> int:
        """The last edge takes along the token that the model pads when the patch does not divide the side."""
        return all_of_them if fraction >= 1 else floor(fraction * (pixels / picture.patch) + slack)

    def row(fraction: float) -> int:
        return token(fraction, picture.height, picture.rows)

    def column(fraction: float) -> int:
        return token(fraction, picture.width, picture.columns)

    return TokenBox(row(top), row(bottom), column(left), column(right))


def parse_split_ratio(text: str) -> tuple[Cell, ...]:
    """The cells of a split ratio in reading order (the paper's SR_hw_split_ratio).

    ";" separates rows and "," values. Without ";" the values are the widths of the columns of one row.
    With ";" each row begins with its height, followed by the widths of its cells; a row of one value is one
    cell. Values are numbers, fractions ("1/3") or percentages ("50%"); heights and the widths of each row
    are normalised by their sum. A colon counts as a comma, brackets and separators at the end as nothing, and
    full-width signs as their ASCII.

    Raises LayoutError with the place of what it cannot read.
    """
    plain = plain_ratio(text)
    if not plain.strip():
        found = f'"{text}"' if text.strip() else "empty"
        raise LayoutError(f"split_ratio is {found}; write for example {SPLIT_RATIO_EXAMPLES}")
    rows = [_parse_row(text, plain, start, end) for start, end in _spans(plain, 0, len(plain), ";")]
    if len(rows) == 1:
        heights, widths = [1.0], rows
    else:
        heights, widths = [row[0] for row in rows], [row[1:] or [1.0] for row in rows]
    return tuple(
        Cell(left, top, right, bottom)
        for (top, bottom), row in zip(_edges(heights), widths, strict=True)
        for left, right in _edges(row)
    )


def parse_base_ratios(text: str) -> tuple[float, ...]:
    """Values from 0 to 1 between "," or ";", written as in a split ratio; none where the text is empty.

    Raises LayoutError with the place of what it cannot read.
    """
    plain = plain_ratio(text).replace(";", ",")
    spans = _spans(plain, 0, len(plain), ",") if plain.strip() else []
    for start, end in spans:
        if not 0 <= _number(plain[start:end]) <= 1:
            raise LayoutError(
                f"base_ratios {_misread(text, plain, start, end, 'from 0 to 1')}; write one value for each region, "
                f'for example "0.3, 0.5"'
            )
    return tuple(_number(plain[start:end]) for start, end in spans)


def plain_ratio(text: str) -> str:
    """A split ratio in ASCII, each character at its place, without brackets and without separators at its end."""
    return text.translate(_PLAIN).rstrip(" \t\r\n,;")


def split_prompts(text: str) -> tuple[str, ...]:
    """The prompts between the words BREAK, without white space around them and commas next to BREAK."""
    first, *others = re.split(r"\bBREAK\b", text)
    if not others:
        return (text.strip(),)
    *middle, last = others
    near = NEAR_BREAK
    return first.rstrip(near).strip(), *(piece.strip(near) for piece in middle), last.lstrip(near).strip()


def match_prompts(cells: tuple[Cell, ...], prompts: tuple[str, ...]) -> tuple[str, ...]:
    """One prompt for each cell; an empty one after a last BREAK is dropped where it is one too many.

    Raises LayoutError where the numbers differ.
    """
    if len(prompts) == len(cells) + 1 and not prompts[-1]:
        prompts = prompts[:-1]
    if len(cells) == len(prompts):
        return prompts
    listed = "; ".join(f"{i} {describe_edges(cell.edges)}" for i, cell in enumerate(cells, 1))
    other = next((match[0] for prompt in prompts if (match := _OTHER_MARKS.search(prompt))), None)
    raise LayoutError(
        f"split_ratio makes {_count(len(cells), 'cell')} and text holds {_count(len(prompts), 'prompt')} "
        f"separated by BREAK{f' ({other} separates none)' if other else ''}; write one prompt for each cell, in this "
        f"order: {listed}"
    )


def describe_edges(edges: tuple[float, float, float, float]) -> str:
    """Where a rectangle lies, in percent of the image: "(0-50 % across, 0-100 % down)"."""
    left, top, right, bottom = (f"{100 * edge:.3g}" for edge in edges)
    return f"({left}-{right} % across, {top}-{bottom} % down)"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _spans(text: str, start: int, end: int, separator: str) -> list[tuple[int, int]]:
    """The stretches of text[start:end] between separators, as (start, end)."""
    cuts = [i for i in range(start, end) if text[i] == separator]
    return list(zip([start, *(cut + 1 for cut in cuts)], [*cuts, end], strict=True))


def _parse_row(text: str, plain: str, start: int, end: int) -> list[float]:
    return [_parse_value(text, plain, a, b) for a, b in _spans(plain, start, end, ",")]


def _parse_value(text: str, plain: str, start: int, end: int) -> float:
    value = _number(plain[start:end])
    if isfinite(value) and value > 0:
        return value
    raise LayoutError(
        f"split_ratio {_misread(text, plain, start, end, 'above 0')}; "
        f"write numbers, fractions or percentages, for example {SPLIT_RATIO_EXAMPLES}"
    )


def _number(word: str) -> float:
    """A number, fraction or percentage, 0 or more; NaN for anything else."""
    match = re.fullmatch(
        r"(\d+\.?\d*|\.\d+)(e[+-]?\d+)?(?:\s*/\s*(\d+\.?\d*|\.\d+)|\s*(%))?",
        word.strip(),
        re.IGNORECASE | re.ASCII,
    )
    if not match:
        return float("nan")
    number, exponent, divisor, percent = match.groups()
    return float(number + (exponent or "")) / (100 if percent else float(divisor or 1) or float("nan"))


def _misread(text: str, plain: str, start: int, end: int, right: str) -> str:
    """What is wrong with a value of a text, and where: '"1, x": "x" is not a number above 0 at character 4'."""
    word = plain[start:end].strip()
    place = start + len(plain[start:end]) - len(plain[start:end].lstrip())
    found = text[place : place + len(word)]
    problem = "a value is missing" if not word else f'"{found}" is not a number {right}'
    return f'"{text}": {problem} at character {place + 1}'


def _edges(sizes: list[float]) -> list[tuple[float, float]]:
    """Start and end of each part when sizes fill 0..1; the last one ends at 1 exactly."""
    total, ends, reached = sum(sizes), [], 0.0
    for size in sizes:
        reached += size
        ends.append(reached / total)
    ends[-1] = 1.0
    return list(zip([0.0, *ends[:-1]], ends, strict=True))
