"""The node that gives a region a LoRA of its own."""

import logging
from dataclasses import replace

from comfy.hooks import set_hooks_for_conditioning
from comfy_api.latest import io

from ..rag_sampler.lora_tags import STRONGEST
from ..rag_sampler.loras.files import hook, installed, text_layers
from .checks import checked
from .common import CATEGORY, SEARCH, Regions, check_index, check_regions, named, regions_output


class RAGRegionLora(io.ComfyNode):
    """A LoRA that one region wears, and no other."""

    NAME = "Region LoRA"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RAGRegionLora",
            display_name=cls.NAME,
            category=CATEGORY,
            description=(
                "Gives one region a LoRA of its own, such as a character's, in one pass with all others. Goes between the "
                "layout and Hard Binding or an attention node; chain several for several LoRAs."
            ),
            search_aliases=[*SEARCH, "LoRA", "lora per region", "regional lora", "two characters"],
            inputs=[
                Regions.Input("regions", tooltip="The layout."),
                io.Int.Input(
                    "region", default=0, min=0, max=4096, tooltip="Which region, from 1; 0 is all of them."
                ),
                io.Combo.Input(
                    "lora_name",
                    options=installed(),
                    tooltip="The LoRA, for the model alone: the region's text is encoded already.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-STRONGEST,
                    max=STRONGEST,
                    step=0.01,
                    tooltip="How strongly it changes the model in this region; 0 leaves it out.",
                ),
            ],
            outputs=[regions_output("The same regions, with this LoRA behind those that they have.")],
        )

    @classmethod
    @checked
    def execute(cls, regions, region, lora_name, strength) -> io.NodeOutput:
        with named(cls.NAME):
            regions = check_regions(regions)
            chosen = check_index(region, regions, "region")
            if strength == 0:
                return io.NodeOutput(regions)
            worn = hook(lora_name, strength)
            if layers := text_layers(worn.hooks[0].weights):
                logging.info(
                    'RAG: %s: "%s" changes %d layers of text encoders, too; they are left out, since the text of a region '
                    "is encoded already. To have them take the region's clip from Load LoRA at strength_model 0, or write "
                    "<lora:...> into its text in place of this node",
                    cls.NAME,
                    lora_name,
                    layers,
                )
            return io.NodeOutput(
                tuple(
                    replace(one, conditioning=set_hooks_for_conditioning(one.conditioning, worn))
                    if chosen in (0, number)
                    else one
                    for number, one in enumerate(regions, 1)
                )
            )
