"""Nodes that make regions."""

import logging
from dataclasses import replace

from comfy_api.latest import io

from ..rag_sampler.layout import (
    SPLIT_RATIO_EXAMPLES,
    Box,
    LayoutError,
    match_prompts,
    parse_split_ratio,
    split_prompts,
)
from ..rag_sampler.regions import Mask, Region
from .checks import checked
from .common import (
    CATEGORY,
    SEARCH,
    Regions,
    append_input,
    check_index,
    check_regions,
    clip_input,
    conditioning_input,
    encode,
    named,
    regions_output,
    source,
    style_input,
    text_input,
    with_style,
)


def _appended(regions, *new: Region) -> io.NodeOutput:
    before = () if regions is None else check_regions(regions)
    return io.NodeOutput((*before, *new))


class RAGRegionBox(io.ComfyNode):
    """A rectangle with a prompt of its own."""

    NAME = "Region Box"

    @classmethod
    def define_schema(cls) -> io.Schema:
        def fraction(name: str, default: float, least: float, tooltip: str) -> io.Input:
            return io.Float.Input(
                name, default=default, min=least, max=1.0, step=0.01, round=0.0001, tooltip=tooltip
            )

        return io.Schema(
            node_id="RAGRegionBox",
            display_name=cls.NAME,
            category=CATEGORY,
            description="A rectangle of the picture with a prompt of its own. Chain several through regions.",
            search_aliases=[*SEARCH, "box", "bounding box"],
            not_idempotent=True,
            inputs=[
                fraction("x", 0.1, 0.0, "Left edge, 0 to 1 of the image's width (the paper's m_offset)."),
                fraction("y", 0.1, 0.0, "Top edge, 0 to 1 of the image's height (the paper's n_offset)."),
                fraction("width", 0.4, 0.001, "Width, 0 to 1 of the image's width (the paper's m_scale)."),
                fraction("height", 0.8, 0.001, "Height, 0 to 1 of the image's height (the paper's n_scale)."),
                clip_input(),
                text_input(),
                conditioning_input(),
                append_input(),
            ],
            outputs=[regions_output()],
        )

    @classmethod
    def validate_inputs(cls, x=None, y=None, width=None, height=None) -> bool | str:
        if None in (x, y, width, height):
            return True
        try:
            Box(x, y, width, height)
        except LayoutError as error:
            return f"{cls.NAME}: {error}"
        return True

    @classmethod
    @checked
    def execute(
        cls, x, y, width, height, clip=None, text="", conditioning=None, regions=None
    ) -> io.NodeOutput:
        with named(cls.NAME):
            return _appended(regions, Region(Box(x, y, width, height), *source(clip, text, conditioning)))


class RAGRegionMask(io.ComfyNode):
    """A painted shape with a prompt of its own."""

    NAME = "Region Mask"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RAGRegionMask",
            display_name=cls.NAME,
            category=CATEGORY,
            description=(
                "A painted part of the picture with a prompt of its own. A token of 16 × 16 pixels belongs to the "
                "region where more than half of it is white."
            ),
            search_aliases=[*SEARCH, "mask"],
            not_idempotent=True,
            inputs=[
                io.Mask.Input(
                    "mask", tooltip="White is the region. One mask; it is stretched over the picture."
                ),
                clip_input(),
                text_input(),
                conditioning_input(),
                append_input(),
            ],
            outputs=[regions_output()],
        )

    @classmethod
    @checked
    def execute(cls, mask, clip=None, text="", conditioning=None, regions=None) -> io.NodeOutput:
        with named(cls.NAME):
            if (count := mask.shape[:-2].numel()) != 1:
                raise ValueError(f"mask holds {count} masks; a region is one: pick it with a batch node")
            pixels = mask.reshape(mask.shape[-2:])
            if not (pixels > 0.5).any():
                raise ValueError(
                    "mask is empty: nothing in it is above one half; paint the region white. The MASK of Load Image is "
                    "empty for a picture without alpha: use Load Image (as Mask) with a colour channel"
                )
            if ((pixels > 0) & (pixels < 1)).any():
                logging.info("RAG: Region Mask: grey counts as white from more than one half of a token on")
            return _appended(regions, Region(Mask(pixels), *source(clip, text, conditioning)))


class RAGSplitRatioLayout(io.ComfyNode):
    """A grid of cells, written as text, with one prompt each."""

    NAME = "Split Ratio Layout"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RAGSplitRatioLayout",
            display_name=cls.NAME,
            category=CATEGORY,
            description="Divides the picture into rows and columns, with one prompt for each cell.",
            search_aliases=[*SEARCH, "split ratio", "grid", "rows", "columns", "BREAK"],
            not_idempotent=True,
            inputs=[
                io.String.Input(
                    "split_ratio",
                    default="0.5, 0.5",
                    tooltip=(
                        f"Cells: {SPLIT_RATIO_EXAMPLES}. With ';' each row starts with its height. Numbers, "
                        f"fractions (1/3) and percentages (50%) work (the paper's SR_hw_split_ratio)."
                    ),
                ),
                io.String.Input(
                    "text",
                    default="",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="One prompt for each cell in reading order, with the word BREAK between them.",
                ),
                io.Clip.Input("clip", tooltip="Encodes the prompts, as CLIP Text Encode does."),
                style_input(),
                append_input(),
            ],
            outputs=[regions_output()],
        )

    @classmethod
    def validate_inputs(cls, split_ratio=None, text=None) -> bool | str:
        try:
            if split_ratio is not None:
                cells = parse_split_ratio(split_ratio)
                if text is not None:
                    match_prompts(cells, split_prompts(text))
        except LayoutError as error:
            return f"{cls.NAME}: {error}"
        return True

    @classmethod
    @checked
    def execute(cls, split_ratio, text, clip, style="", regions=None) -> io.NodeOutput:
        with named(cls.NAME):
            cells, prompts = parse_split_ratio(split_ratio), split_prompts(text)
            prompts = [with_style(prompt, style) for prompt in match_prompts(cells, prompts)]
            new = [Region(cell, *encode(clip, text)) for cell, text in zip(cells, prompts, strict=True)]
            return _appended(regions, *new)


class RAGRegionStrength(io.ComfyNode):
    """How much of its cell's result is a region's own."""

    NAME = "Region Strength"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RAGRegionStrength",
            display_name=cls.NAME,
            category=CATEGORY,
            description=(
                "How much one region's text counts inside it, beside the others'. Goes between the layout and an "
                "attention node such as Soft Refinement Attention."
            ),
            search_aliases=[*SEARCH, "strength", "weight"],
            inputs=[
                Regions.Input("regions", tooltip="The layout."),
                io.Int.Input(
                    "region", default=0, min=0, max=4096, tooltip="Which region, from 1; 0 is all of them."
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip=(
                        "Multiplies the region's share: Soft Refinement's delta, or 1 − base_ratio. 0 leaves its "
                        "part to the base prompt. Hard Binding takes no notice."
                    ),
                ),
            ],
            outputs=[regions_output("The same regions, with this strength.")],
        )

    @classmethod
    @checked
    def execute(cls, regions, region, strength) -> io.NodeOutput:
        with named(cls.NAME):
            regions = check_regions(regions)
            chosen = check_index(region, regions, "region")
            return io.NodeOutput(
                tuple(
                    replace(one, strength=strength) if chosen in (0, number) else one
                    for number, one in enumerate(regions, 1)
                )
            )
