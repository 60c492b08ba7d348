"""Nodes that show a layout or hand it on as masks."""

from comfy_api.latest import io, ui

from ..rag_sampler.preview import draw_layout, region_mask
from .checks import checked
from .common import CATEGORY, SEARCH, Regions, check_index, check_regions, named, size_inputs


class RAGLayoutPreview(io.ComfyNode):
    """A picture of the layout."""

    NAME = "Layout Preview"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RAGLayoutPreview",
            display_name=cls.NAME,
            category=CATEGORY,
            description="Shows where the regions lie: numbered, coloured, with their prompts and share of the picture.",
            search_aliases=[*SEARCH, "preview"],
            inputs=[
                Regions.Input("regions", tooltip="The regions to show."),
                *size_inputs(),
                io.Image.Input("image", optional=True, tooltip="A picture to show the layout on."),
            ],
            outputs=[io.Image.Output(tooltip="The layout as an image.")],
            is_output_node=True,
        )

    @classmethod
    @checked
    def execute(cls, regions, width, height, image=None) -> io.NodeOutput:
        with named(cls.NAME):
            picture = draw_layout(check_regions(regions), width, height, image)
            return io.NodeOutput(picture, ui=ui.PreviewImage(picture, cls=cls))


class RAGRegionsToMask(io.ComfyNode):
    """One region of a layout, or all of them, as a MASK."""

    NAME = "Regions to Mask"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RAGRegionsToMask",
            display_name=cls.NAME,
            category=CATEGORY,
            description="A region of the layout as a mask, for inpainting, ControlNet or any node that takes one.",
            search_aliases=[*SEARCH, "mask", "inpaint"],
            inputs=[
                Regions.Input("regions", tooltip="The regions."),
                io.Int.Input(
                    "index", default=1, min=0, max=4096, tooltip="Which region, from 1; 0 is all together."
                ),
                *size_inputs(),
            ],
            outputs=[io.Mask.Output(tooltip="White where the region is.")],
        )

    @classmethod
    @checked
    def execute(cls, regions, index, width, height) -> io.NodeOutput:
        with named(cls.NAME):
            regions = check_regions(regions)
            number = check_index(index, regions, "index")
            return io.NodeOutput(region_mask(regions, width, height, number)[None])
