"""Region Canvas without a page: what it reads, what it hands on, and what bad input gets."""

import json
import time

import pytest
import torch
from PIL import ImageFont
from rag_pack.nodes.canvas import RAGRegionCanvas
from rag_pack.nodes.layout import RAGLayoutPreview
from rag_pack.rag_sampler import preview
from rag_pack.rag_sampler.canvas import read_linked
from rag_pack.rag_sampler.drawing import drawn_regions, read_drawing
from rag_pack.rag_sampler.layout import Box, LayoutError
from rag_pack.rag_sampler.picture import Picture
from rag_pack.rag_sampler.preview import color, draw_layout
from rag_pack.rag_sampler.regions import Region
from test_nodes import CLIP, said
from tiny import REPO

VECTORS = json.loads((REPO / "tests" / "canvas_vectors.json").read_text(encoding="utf-8"))
HALF = {"x": 0, "y": 0, "w": 0.5, "h": 1}


def drawing(*regions: dict, **more) -> str:
    return json.dumps({"version": 1, "regions": list(regions), **more})


def run(regions: str = "", size: tuple[int, int] = (256, 256), **inputs):
    return RAGRegionCanvas.execute(*size, CLIP, regions=regions, **inputs)


def told(output) -> dict:
    """What a run tells the editor."""
    return output.ui["rag_canvas"][0]


def boxes(output, size: int = 256) -> list[tuple[int, ...]]:
    """The bound tokens of the regions: left, top, right, bottom."""
    found = [region.shape.bound_tokens(Picture.of_pixels(size, size)) for region in output[0]]
    return [(box.x0, box.y0, box.x1, box.y1) for box in found]


# --- the drawing ---


@pytest.mark.parametrize("case", VECTORS["values"], ids=lambda case: case["text"][:40])
def test_a_drawing_is_read_as_the_page_reads_it(case):
    if case["drawn"] is None:
        with pytest.raises(LayoutError, match="^regions"):
            read_drawing(case["text"])
    else:
        shown = drawn_regions(read_drawing(case["text"]))
        found = [[one.box.x, one.box.y, one.box.width, one.box.height, one.prompt] for one in shown]
        assert found == case["drawn"]


@pytest.mark.parametrize("case", VECTORS["extras"], ids=["none", "all"])
def test_strength_loras_and_points_are_read_as_the_page_reads_them(case):
    (one,) = drawn_regions(read_drawing(case["text"]))
    found = one.strength, [list(lora) for lora in one.loras], [list(point) for point in one.points]
    assert found == (case["strength"], case["loras"], case["points"])


@pytest.mark.parametrize("case", VECTORS["cut"], ids=lambda case: case["text"][:40])
def test_what_leaves_the_picture_is_cut_as_the_page_cuts_it(case):
    notes: list[str] = []
    (one,) = drawn_regions(read_drawing(case["text"], notes=notes))
    assert [one.box.x, one.box.y, one.box.width, one.box.height] == case["drawn"]
    assert [list(point) for point in one.points] == case.get("points", [])
    assert notes == ["regions: region 1 leaves the picture and is cut at its border"]


def test_tokens_and_colours_are_those_of_the_page():
    for case in VECTORS["tokens"]:
        box = Box(*case["box"]).bound_tokens(Picture.of_pixels(*case["size"]))
        assert [box.x0, box.y0, box.x1, box.y1] == case["tokens"]
    assert ["#{:02x}{:02x}{:02x}".format(*color(i)) for i in range(40)] == VECTORS["colors"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{oops", r'regions is no JSON \(.*\): it holds "\{oops"; write for example \{"version"'),
        ('{"version": 2, "regions": []}', "regions is a drawing of version 2, and this node reads version 1"),
        ('{"boxes": []}', r'regions holds {"boxes": \[\]}, which is no drawing; write for example'),
        (drawing(HALF, HALF | {"y": "a"}), 'regions: region 2: y is "a"; it has to be a number from 0 to 1'),
        (drawing({"x": 0}), "regions: region 1: y is missing; it has to be a number from 0 to 1"),
        (drawing(HALF | {"x": 1.8}), "regions: region 1: the box leaves the image: it runs from x 1.8 to"),
        (drawing(HALF | {"prompt": 3}), "regions: region 1: prompt is 3; it has to be a text"),
        (drawing(HALF | {"color": "red"}), 'regions: region 1: color is "red"; write it like "#3cb44b"'),
        (
            drawing(HALF, HALF | {"strength": 2}),
            "regions: region 2: strength is 2; it has to be a number from 0 to 1",
        ),
        (
            drawing(HALF | {"loras": [{"name": "a"}]}),
            r'regions: region 1: loras is \[{"name": "a"}\]; write a list such',
        ),
        (
            drawing(HALF | {"points": [[0, 0]]}),
            r"regions: region 1: points is \[\[0, 0\]\]; .* at least three \[x, y\]",
        ),
    ],
)
def test_a_bad_drawing_is_named_before_anything_runs(text, message):
    assert RAGRegionCanvas.validate_inputs(regions=text).startswith("Region Canvas: regions")
    with pytest.raises(ValueError, match=f"^Region Canvas: {message}"):
        run(text)


def test_a_good_drawing_and_a_missing_one_are_let_through():
    assert RAGRegionCanvas.validate_inputs(regions=drawing(HALF)) is True
    assert RAGRegionCanvas.validate_inputs() is True


@pytest.mark.parametrize("text", ["", drawing(), drawing(HALF | {"enabled": False})])
def test_a_canvas_without_regions_says_what_to_do(text):
    with pytest.raises(ValueError, match=r"^Region Canvas: regions holds nothing .* drag on the canvas"):
        run(text)


def test_a_region_under_one_token_is_named():
    with pytest.raises(ValueError, match=r'^Region Canvas: region 1 of 1 \("a fox"\) is 8 × 256 pixels'):
        run(drawing({"x": 0, "y": 0, "w": 1 / 32, "h": 1, "prompt": "a fox"}))


# --- what is handed on ---


def test_regions_keep_order_prompt_style_and_colour():
    hidden = HALF | {"prompt": "hidden", "enabled": False}
    output = run(
        drawing(HALF | {"prompt": "a", "color": "#102030"}, hidden, HALF | {"prompt": "b"}), style=" oil "
    )
    assert said(output[0]) == ["a, oil", "b, oil"]
    assert [region.color for region in output[0]] == ["#102030", ""]
    assert [region.text for region in output[0]] == ["a", "b"]
    assert {region.drawn_for for region in run(drawing(HALF), size=(512, 256))[0]} == {(512, 256)}


def test_the_preview_has_the_editors_colours_and_the_background():
    output = run(drawing(HALF | {"color": "#ff0000"}), size=(64, 32), background=torch.ones(1, 8, 16, 3))
    assert output[1].shape == (1, 32, 64, 3)
    assert torch.equal(output[1][0, 31, 0], torch.tensor([1.0, 0.0, 0.0]))
    assert torch.equal(output[1][0, 16, 60], torch.ones(3))
    again = RAGLayoutPreview.execute(output[0], 64, 32, torch.ones(1, 8, 16, 3))[0]
    assert torch.equal(again, output[1])


def test_the_editor_is_told_the_size_and_where_the_background_is():
    assert told(run(drawing(HALF))) == {"width": 256, "height": 256}
    shown = told(run(drawing(HALF), background=torch.ones(1, 8, 8, 3)))
    assert shown["background"]["type"] == "temp"
    assert shown["background"]["filename"].endswith(".png")
    assert told(run(drawing(HALF), background=torch.ones(1, 8, 24, 3)))["background_size"] == [24, 8]


# --- layouts from other nodes ---

PIXELS = {"x": 64, "y": 0, "width": 128, "height": 256}
ELEMENT = {"type": "obj", "bbox": [62, 0, 437, 500], "desc": "a fox", "color_palette": ["#102030"]}


@pytest.mark.parametrize(
    "layout",
    [PIXELS, [PIXELS], [[PIXELS]], json.dumps([PIXELS])],
    ids=["one", "list", "list of one picture", "JSON"],
)
def test_bounding_boxes_in_pixels(layout):
    assert boxes(run(bboxes=layout)) == [(4, 0, 12, 16)]


def test_elements_with_description_and_colour():
    """In thousandths, which miss the token edges: 62 of 1000 is 0.99 tokens of 16."""
    output = run(
        bboxes=[ELEMENT, {"type": "text", "text": "HI", "bbox": [0, 500, 1000, 1000], "desc": "in red"}]
    )
    assert boxes(output) == [(0, 1, 8, 7), (8, 0, 16, 16)]
    assert said(output[0]) == ["a fox", '"HI", in red']
    assert output[0][0].color == "#102030"


def test_bounding_boxes_that_are_fractions_are_read_as_such():
    notes: list[str] = []
    read = read_linked([{"x": 0.25, "y": 0, "width": 0.5, "height": 1}], 256, 256, notes=notes)
    assert boxes(run(bboxes=[{"x": 0.25, "y": 0, "width": 0.5, "height": 1}])) == [(4, 0, 12, 16)]
    assert (read["regions"][0]["x"], read["regions"][0]["w"]) == (0.25, 0.5)
    assert notes[0] == "bboxes: the boxes were read as parts of the picture"


def test_what_was_read_of_a_link_is_told():
    assert told(run(bboxes=[ELEMENT]))["notes"] == [
        "bboxes: bbox was read as [top, left, bottom, right] in thousandths of the picture",
        "bboxes: read as the prompt: desc",
    ]
    assert "notes" not in told(run(bboxes=[HALF | {"prompt": "a fox"}]))


def test_pixel_boxes_take_their_prompt_from_the_description():
    assert said(run(bboxes=[PIXELS | {"metadata": {"desc": "a fox"}}])[0]) == ["a fox"]


def test_a_drawing_over_the_link_keeps_what_it_brings():
    output = run(bboxes=drawing(HALF | {"id": "left", "prompt": "a fox", "note": 1}))
    assert said(output[0]) == ["a fox"]
    assert json.loads(told(output)["drawing"])["regions"] == [
        HALF | {"id": "left", "prompt": "a fox", "note": 1}
    ]


def test_boxes_at_the_border_are_cut_and_tiny_ones_get_a_token():
    outside = PIXELS | {"x": 200, "width": 500}
    tiny = {"x": 255, "y": 3, "width": 1, "height": 1}
    output = run(bboxes=[outside, tiny])
    assert boxes(output) == [(13, 0, 16, 16), (15, 0, 16, 1)]
    assert (
        "box 1 reached over the border (across 0.78125 to 2.73438) and was cut there"
        in told(output)["notes"][0]
    )


def test_the_border_of_a_size_that_is_no_multiple_of_a_token():
    whole = read_linked([{"x": 100, "y": 0, "width": 100, "height": 136}], 200, 136)["regions"][0]
    assert (round(whole["x"] * 200), whole["x"] + whole["w"], whole["h"]) == (96, 1.0, 1.0)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("oops", "bboxes is no JSON"),
        ([[PIXELS], [PIXELS]], "bboxes holds the boxes of 2 pictures; connect those of one"),
        ([PIXELS | {"x": "a"}], 'bboxes: x of box 1 is "a"; write the left edge'),
        (
            [{"type": "obj", "bbox": [1, 2]}],
            r"bboxes: bbox of box 1 is \[1, 2\]; write \[top, left, bottom, right\]",
        ),
        ([PIXELS | {"x": 300}], "bboxes: box 1 has across no part in the picture; move it inside"),
        ([5], "bboxes: box 1 is 5; write an object"),
        ([PIXELS] * 501, "bboxes holds 501 boxes; connect at most 500"),
        (5, "bboxes holds 5, which is no drawing"),
        ([{"x": 0, "w": 1, "h": 1}], "bboxes: y of box 1 is missing; write the top edge"),
    ],
)
def test_a_bad_linked_layout_is_named(layout, message):
    with pytest.raises(ValueError, match=f"^Region Canvas: {message}"):
        run(bboxes=layout)


@pytest.mark.parametrize("nothing", [None, "", " ", [], "[]", [[]], {}])
def test_an_empty_link_leaves_the_drawing(nothing):
    assert said(run(drawing(HALF | {"prompt": "mine"}), bboxes=nothing)[0]) == ["mine"]


def test_edits_hold_until_the_linked_layout_changes():
    first, second = drawing(HALF | {"prompt": "first"}), drawing(HALF | {"prompt": "second"})
    shown = told(run(drawing(HALF | {"prompt": "mine"}), bboxes=first))["drawing"]
    assert "first" in shown  # a new layout replaces what was drawn
    edited = shown.replace("first", "edited")
    output = run(edited, bboxes=first)
    assert said(output[0]) == ["edited"]
    assert "drawing" not in told(output)
    assert said(run(edited, bboxes=second)[0]) == ["second"]


def test_edits_of_boxes_in_pixels_hold_at_another_size():
    shown = told(run(bboxes=[PIXELS]))["drawing"]
    assert said(
        run(shown.replace('"prompt":""', '"prompt":"edited"'), size=(512, 512), bboxes=[PIXELS])[0]
    ) == ["edited"]


# --- the layout's picture ---


def region(x, y, w, h, text="", tint="") -> Region:
    return Region(Box(x, y, w, h), [], text, tint)


def test_overlaps_are_hatched():
    picture = draw_layout((region(0, 0, 0.75, 1), region(0.5, 0, 0.5, 1)), 256, 256)[0]
    shared, alone = picture[150:250, 140:180], picture[150:250, 30:70]
    assert shared.std(dim=(0, 1)).min() > 0.1
    assert alone.std(dim=(0, 1)).max() < 1e-3


def test_a_font_that_has_every_letter_of_a_prompt_is_taken(monkeypatch):
    """Pillow's own has no accents; where no font of the system has them either, it is the one."""
    load, own, accents = ImageFont.truetype, ImageFont.load_default(17), ImageFont.load_default(18)
    assert preview._has_signs(own, "a cafe ·") and not preview._has_signs(own, "café")
    fonts = {"arial.ttf": accents}

    def truetype(font, size, **options):
        return fonts.get(font, own) if isinstance(font, str) else load(font, size, **options)

    monkeypatch.setattr(ImageFont, "truetype", truetype)
    preview._font.cache_clear()
    assert preview._font(17, "a café").size == 17
    monkeypatch.setattr(preview, "_has_signs", lambda font, text: "é" not in text or font is accents)
    preview._font.cache_clear()
    assert preview._font(17, "a café") is accents and preview._font(17, "a cafe").size == 17
    preview._font.cache_clear()


def test_labels_at_one_corner_do_not_hide_one_another():
    """Each number stands on a plate of its region's colour."""
    tints = ["#ff0000", "#00ff00", "#0000ff"]
    regions = tuple(
        region(0, 0, 1, size, "a fox", tint) for tint, size in zip(tints, (1, 0.75, 0.5), strict=True)
    )
    picture = (draw_layout(regions, 512, 512)[0] * 255).round()
    for tint in ([255, 0, 0], [0, 255, 0], [0, 0, 255]):
        plate = (picture[8:200, 6:20] == torch.tensor(tint)).all(-1)
        assert plate.sum() > 60


def test_a_long_prompt_stays_in_its_region():
    """Nothing but the plain ground right of the region."""
    picture = draw_layout((region(0, 0, 0.5, 0.5, "word " * 200),), 256, 256)[0]
    assert (picture[:, 130:] - 0.13).abs().max() < 0.01
    assert (picture[132:] - 0.13).abs().max() < 0.01


def test_a_huge_prompt_is_drawn_at_once():
    began = time.perf_counter()
    draw_layout((region(0, 0, 1, 1, "several words " * 5000),), 256, 256)
    assert time.perf_counter() - began < 3


def test_line_breaks_do_not_print_lines_over_one_another():
    broken, plain = (
        draw_layout((region(0, 0, 1, 1, text),), 256, 256)[0]
        for text in ("a fox\n\nin snow", "a fox in snow")
    )
    assert torch.equal(broken, plain)
