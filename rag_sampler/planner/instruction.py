"""What a language model is asked for: one JSON object that says what is where in the picture."""

from __future__ import annotations

from .problems import RETRY

ANSWER_STYLES = ("JSON only", "reasoning, then JSON")

_TEXT = """\
You arrange pictures. An image model will paint the request below, part by part; you decide what goes where.

Request: {sentence}
Canvas: {width} x {height} pixels, {shape}. Positions and sizes are parts of it, from 0 to 1, measured from the \
top left corner.

Write one JSON object with these five keys:
"version": 1.
"base_prompt": one or two sentences for the whole picture. Keep everything that the request says, its numbers, \
colours and places, and add setting, light and style where it leaves them open.
"split_ratio": a text that divides the canvas into cells, without gaps. Columns: their widths with commas between, \
"0.4, 0.6". Rows: semicolons between, each row as its height followed by the widths of its cells, \
"0.3, 1; 0.7, 0.5, 0.5" (a low row of one cell over a high row of two). Heights sum to 1, and so do the widths of \
each row. Use few cells, one for each group of things that belong together.
"cells": a list of texts, one for each cell, top row first, each row from left to right. Each text is painted \
without the others being known, so it describes its cell in rich detail and repeats setting, light and style.
"regions": a list of boxes, one for each single thing, in the order of the cells. A box is an object with "prompt" \
(two to eight words that name one thing with its colour or material), "x" and "y" (its left and top edge), "w" and \
"h" (its width and height).

Rules for the boxes:
- {count}
- Several things of a kind are several boxes: seven mugs are seven boxes, each with a prompt for one mug.
- A box lies inside one cell. Boxes do not overlap and keep a gap of at least 0.02 between them and to the border.
- A box has the shape of its thing on this canvas and leaves room for it: at least {least_width} wide and \
{least_height} high where the number of things allows it.
- x + w and y + h stay below 1. All numbers are decimals.

{examples}
{feedback}{close}
"""

EXAMPLES = (
    (
        "1024 x 1024",
        "two green bottles left of a loaf of bread",
        """\
{"version": 1, "base_prompt": "A still life of two green glass bottles standing to the left of a round loaf of \
bread on a dark oak table, soft window light, oil painting", "split_ratio": "0.55, 0.45", "cells": ["Two slender \
green glass bottles side by side on a dark oak table, light shining through the glass, soft window light, oil \
painting", "A round loaf of bread with a floury, cracked crust on a dark oak table, soft window light, oil \
painting"], "regions": [{"prompt": "a slender green glass bottle", "x": 0.05, "y": 0.15, "w": 0.2, "h": 0.75}, \
{"prompt": "a slender green glass bottle", "x": 0.3, "y": 0.15, "w": 0.2, "h": 0.75}, {"prompt": "a round loaf \
of bread", "x": 0.6, "y": 0.5, "w": 0.36, "h": 0.4}]}""",
    ),
    (
        "1536 x 768",
        "five paper kites over a shepherd and his dog",
        """\
{"version": 1, "base_prompt": "Five colourful paper kites in a windy blue sky above a shepherd with his dog on a \
green hill, bright morning, watercolour", "split_ratio": "0.45, 1; 0.55, 0.6, 0.4", "cells": ["Five paper kites in \
red, yellow and white with long tails, spread over a windy blue sky, bright morning, watercolour", "A shepherd in a \
brown cloak leaning on a staff on a green hill, bright morning, watercolour", "A black and white sheepdog sitting \
in the grass of a green hill, bright morning, watercolour"], "regions": [{"prompt": "a red paper kite", "x": 0.04, \
"y": 0.06, "w": 0.15, "h": 0.34}, {"prompt": "a yellow paper kite", "x": 0.23, "y": 0.06, "w": 0.15, "h": 0.34}, \
{"prompt": "a white paper kite", "x": 0.42, "y": 0.06, "w": 0.15, "h": 0.34}, {"prompt": "a red paper kite", \
"x": 0.61, "y": 0.06, "w": 0.15, "h": 0.34}, {"prompt": "a yellow paper kite", "x": 0.8, "y": 0.06, "w": 0.15, \
"h": 0.34}, {"prompt": "a shepherd in a brown cloak", "x": 0.15, "y": 0.48, "w": 0.25, "h": 0.48}, {"prompt": \
"a black and white sheepdog", "x": 0.66, "y": 0.6, "w": 0.2, "h": 0.35}]}""",
    ),
)
"""Canvas, request, and a plan for it."""

_FEEDBACK = """\
Your last answer to this request could not be used:
{feedback}
Correct this, keep what was right, and write the whole object again.

"""

_CLOSE = {
    ANSWER_STYLES[
        0
    ]: "Now write the JSON object for the request, and nothing else: no explanation, no code fence.",
    ANSWER_STYLES[1]: (
        "First think in a few lines: list the things and count them, group them into cells, place one box for each. "
        "Then write the JSON object for the request once, as the last thing in your answer."
    ),
}

_TOKENS = 8
"""Tokens of 16 pixels a side from which a box works well."""


def instruction(
    sentence: str,
    width: int,
    height: int,
    regions: int = 0,
    style: str = ANSWER_STYLES[0],
    feedback: str = "",
) -> str:
    """What to ask a language model for a plan of a picture of width × height pixels.

    regions: how many boxes it shall make, 0 for as many as there are things.
    feedback: why its last answer was refused, for a second try.
    Raises ValueError where the sentence is empty.
    """
    if not sentence.strip():
        raise ValueError("sentence is empty; write what the picture shall show")
    if regions:
        count = f"Make exactly {regions} {'box' if regions == 1 else 'boxes'}: the most important things."
    else:
        count = "Count the things of the request and make one box for each."
    feedback = " ".join(feedback.replace(RETRY, "").split())[:4000]
    return _TEXT.format(
        sentence=" ".join(sentence.split()),
        width=width,
        height=height,
        shape="a square" if width == height else "wider than high" if width > height else "higher than wide",
        count=count,
        least_width=_least(width),
        least_height=_least(height),
        examples="\n".join(
            f'Example for a canvas of {canvas} and "{request}":\n{plan}\n'
            for canvas, request, plan in EXAMPLES
        ),
        feedback=_FEEDBACK.format(feedback=feedback) if feedback else "",
        close=_CLOSE[style],
    ).rstrip()


def _least(pixels: int) -> str:
    return f"{min(16 * _TOKENS / pixels, 0.25):.2g}"
