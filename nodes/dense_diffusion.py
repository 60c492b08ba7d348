"""DenseDiffusion: a MODEL node with a prompt of its own."""

from comfy_api.latest import io

from ..rag_sampler.engine import add_spec
from ..rag_sampler.methods.dense_diffusion import DenseDiffusion
from .checks import checked
from .common import CATEGORY, SEARCH, Regions, check_regions, named
from .patches import model_input, model_output, window_inputs


class RAGDenseDiffusion(io.ComfyNode):
    """Lets each part of the picture attend to its own words of one prompt."""

    NAME = "DenseDiffusion Attention"

    @classmethod
    def define_schema(cls) -> io.Schema:
        def strength(name: str, default: float, most: float, tooltip: str) -> io.Input:
            return io.Float.Input(name, default=default, min=0.0, max=most, step=0.05, tooltip=tooltip)

        return io.Schema(
            node_id="RAGDenseDiffusion",
            display_name=cls.NAME,
            category=CATEGORY,
            description=(
                "One prompt, whose phrases are the regions' texts: in the first steps each region attends to its own "
                "phrase and to itself. For SD1.5, SD2 and SDXL, under every sampler; connect positive, too."
            ),
            search_aliases=[*SEARCH, "DenseDiffusion", "dense captions", "attention modulation"],
            not_idempotent=True,
            inputs=[
                model_input(),
                io.Clip.Input("clip", tooltip="Encodes the caption and its phrases; that of the checkpoint."),
                Regions.Input(
                    "regions",
                    tooltip=(
                        "The regions, each with a phrase of the caption as its text; best they cover the picture, the "
                        "background first."
                    ),
                ),
                io.String.Input(
                    "caption",
                    default="",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip=(
                        "The whole prompt, with every region's text in it, word for word. Empty: these texts, with commas "
                        "between."
                    ),
                ),
                strength(
                    "cross_strength",
                    1.0,
                    2.0,
                    "How strongly a region is drawn to its phrase, and from all other words (the paper's w_c).",
                ),
                strength(
                    "self_strength",
                    0.3,
                    2.0,
                    "How strongly a region keeps to itself (the paper's w_s). More separates things that look alike.",
                ),
                strength(
                    "size_strength",
                    1.0,
                    1.0,
                    "How much weaker it works in large regions: at 1 by their share of the picture, at 0 not at all.",
                ),
                *window_inputs(
                    0.3,
                    "Part of the sampling up to which the regions guide. The authors take 0.3; later steps hardly count, "
                    "since all fades with the noise.",
                ),
            ],
            outputs=[
                model_output(),
                io.Conditioning.Output(
                    display_name="positive",
                    tooltip=(
                        "The caption, in which each phrase is encoded as if it stood alone; connect it to the sampler's "
                        "positive."
                    ),
                ),
            ],
        )

    @classmethod
    @checked
    def execute(
        cls,
        model,
        clip,
        regions,
        caption,
        cross_strength,
        self_strength,
        size_strength,
        start_percent,
        end_percent,
    ) -> io.NodeOutput:
        with named(cls.NAME):
            regions = check_regions(regions)
            DenseDiffusion.check_family(model)
            spec = DenseDiffusion.of(
                clip,
                regions,
                caption,
                cross_strength,
                self_strength,
                size_strength,
                start_percent,
                end_percent,
            )
            return io.NodeOutput(add_spec(model, spec), spec.caption.conditioning)
