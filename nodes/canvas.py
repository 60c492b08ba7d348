"""The node whose regions are drawn."""

import logging

from comfy_api.latest import io, ui

from ..rag_sampler.canvas import read_linked
from ..rag_sampler.drawing import drawn_regions, read_drawing, write_drawing
from ..rag_sampler.layout import LayoutError
from ..rag_sampler.lora_tags import without_tags
from ..rag_sampler.loras.named import with_loras
from ..rag_sampler.preview import draw_layout
from ..rag_sampler.regions import Mask, Region
from .checks import checked
from .common import CATEGORY, SEARCH, encode, named, regions_output, size_inputs, style_input, with_style

Elements = io.Custom("ARRAY")
"""By its name: older ComfyUIs have no such type."""


class RAGRegionCanvas(io.ComfyNode):
    """Regions drawn with the mouse, with a prompt each."""

    NAME = "Region Canvas"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RAGRegionCanvas",
            display_name=cls.NAME,
            category=CATEGORY,
            description="Draw regions, give each its prompt, and hand them on to Hard Binding and Soft Refinement.",
            search_aliases=[*SEARCH, "canvas", "editor", "draw", "box", "bounding box", "area editor"],
            not_idempotent=True,
            inputs=[
                *size_inputs(),
                io.Clip.Input("clip", tooltip="Encodes the prompts, as CLIP Text Encode does."),
                style_input(),
                io.MultiType.Input(
                    "bboxes",
                    [io.BoundingBox, Elements, io.String],
                    optional=True,
                    tooltip=(
                        "A layout from another node: bounding boxes, elements, or a text that Plan to Regions reads. A new one "
                        "replaces the drawing; your edits hold until it changes."
                    ),
                ),
                io.Image.Input("background", optional=True, tooltip="A picture to draw on."),
                io.String.Input(
                    "regions",
                    default="",
                    optional=True,
                    socketless=True,
                    tooltip="Drag to draw.",
                    extra_dict={"widgetType": "RAG_CANVAS"},
                ),
            ],
            outputs=[
                regions_output("The regions that are drawn."),
                io.Image.Output(display_name="preview", tooltip="The layout as an image."),
                io.Int.Output(display_name="width", tooltip="Width of the picture, for the empty latent."),
                io.Int.Output(display_name="height", tooltip="Height of the picture, for the empty latent."),
                Elements.Output(
                    display_name="elements",
                    tooltip="The regions as Create Bounding Boxes has them, for nodes that build a JSON prompt.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, regions="") -> bool | str:
        try:
            read_drawing(regions or "")
        except LayoutError as error:
            return f"{cls.NAME}: {error}"
        return True

    @classmethod
    @checked
    def execute(
        cls, width, height, clip, style="", bboxes=None, background=None, regions=""
    ) -> io.NodeOutput:
        with named(cls.NAME):
            notes: list[str] = []
            drawing = read_drawing(regions or "", notes=notes)
            linked = read_linked(bboxes, width, height, notes=notes)
            shown = {"width": width, "height": height}  # what the editor is told
            if notes:
                shown["notes"] = notes
                logging.info("RAG: %s: %s", cls.NAME, "; ".join(notes))
            if linked is not None and linked["linked"] != drawing.get("linked"):
                drawing, shown["drawing"] = linked, write_drawing(linked)
            if background is not None:
                shown["background"] = ui.PreviewImage(background[:1], cls=cls).as_dict()["images"][0]
                shown["background_size"] = [background.shape[2], background.shape[1]]
            drawn = drawn_regions(drawing)
            if not drawn:
                raise ValueError(
                    "regions holds nothing to bind: no region is drawn, or all are hidden; drag on the canvas to "
                    "draw at least one"
                )
            prompts = [with_style(one.prompt, style) for one in drawn]
            made = tuple(
                Region(
                    Mask.of_polygon(one.points, width, height) if one.points else one.box,
                    encode(clip, prompt)[0],
                    without_tags(one.prompt),
                    one.color,
                    drawn_for=(width, height),
                    strength=one.strength,
                )
                for one, prompt in zip(drawn, prompts, strict=True)
            )
            made = with_loras(made, [one.loras for one in drawn])
            elements = [one.element(without_tags(prompt)) for one, prompt in zip(drawn, prompts, strict=True)]
            picture = draw_layout(made, width, height, background)
            return io.NodeOutput(made, picture, width, height, elements, ui={"rag_canvas": [shown]})
