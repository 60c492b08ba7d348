"""MODEL nodes: MODEL in, MODEL out; they work under every sampler."""

from comfy_api.latest import io

from ..rag_sampler.engine import add_spec
from ..rag_sampler.layout import LayoutError, parse_base_ratios
from ..rag_sampler.methods.binding import Binding
from ..rag_sampler.methods.refinement import Refinement
from ..rag_sampler.methods.regional_prompting import RegionalPrompting
from ..rag_sampler.methods.rpg import RegionalDiffusion
from .checks import checked
from .common import CATEGORY, SEARCH, Regions, check_regions, named


def bind_steps_input() -> io.Input:
    return io.Int.Input(
        "bind_steps",
        default=2,
        min=0,
        max=10000,
        tooltip=(
            "Steps, from the first, in which each region is built on its own (the paper's HB_replace). 1 or 2 fix "
            "where things are; more makes them more independent of the whole. Few-step models: 1. Counted from the "
            "start of the picture: a sampling in stages has to bind within its first."
        ),
    )


def bind_features_input() -> io.Input:
    return io.Boolean.Input(
        "bind_features",
        default=True,
        tooltip="Let the rest of the picture see the regions while they are built alone, as published.",
    )


def delta_input() -> io.Input:
    return io.Float.Input(
        "delta",
        default=1.0,
        min=0.0,
        max=1.0,
        step=0.05,
        tooltip=(
            "How much a region's text outweighs the base prompt inside it: 0 not at all, 1 entirely (the paper's "
            "SR_delta). 1 is also the fastest."
        ),
    )


def fidelity_input(share: str = "delta") -> io.Input:
    return io.Combo.Input(
        "fidelity",
        options=["published", "shared"],
        default="published",
        tooltip=(
            f"Matters for {share} between 0 and 1 only. published: exactly the published method, two image streams in "
            "the single blocks. shared: one stream, faster, a slightly different picture."
        ),
    )


def window_inputs(
    end: float = 1.0, end_tooltip: str = "Part of the sampling up to which the regions guide; 1 is the end."
) -> list[io.Input]:
    """Part of the sampling in which an attention method works."""
    widgets = {
        "start_percent": (0.0, "Part of the sampling after which the regions guide; 0 is the start."),
        "end_percent": (end, end_tooltip),
    }
    return [
        io.Float.Input(name, default=default, min=0.0, max=1.0, step=0.01, tooltip=tooltip)
        for name, (default, tooltip) in widgets.items()
    ]


def model_input() -> io.Input:
    return io.Model.Input(
        "model", tooltip="The model to sample with; it stays as it is, the output is a copy."
    )


def model_output() -> io.Output:
    return io.Model.Output(tooltip="The model with the regions; connect it to any sampler.")


class RAGHardBinding(io.ComfyNode):
    """Builds each region on its own in the first steps."""

    NAME = "Hard Binding"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RAGHardBinding",
            display_name=cls.NAME,
            category=CATEGORY,
            description=(
                "In the first steps each region is denoised alone with its own prompt and put back into the picture, "
                "so that things are where the layout says. Works with every image model and sampler."
            ),
            search_aliases=[*SEARCH, "hard binding"],
            not_idempotent=True,
            inputs=[
                model_input(),
                Regions.Input(
                    "regions", tooltip="The regions to bind; best a little smaller than their cells."
                ),
                bind_steps_input(),
                bind_features_input(),
            ],
            outputs=[model_output()],
        )

    @classmethod
    @checked
    def execute(cls, model, regions, bind_steps, bind_features) -> io.NodeOutput:
        with named(cls.NAME):
            return io.NodeOutput(add_spec(model, Binding(check_regions(regions), bind_steps, bind_features)))


class RAGSoftRefinementAttention(io.ComfyNode):
    """Lets each region's text guide its own part of one picture."""

    NAME = "Soft Refinement Attention"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RAGSoftRefinementAttention",
            display_name=cls.NAME,
            category=CATEGORY,
            description=(
                "Inside each region the picture listens to the region's text, while the whole stays one picture. "
                "For FLUX.1, FLUX.2, Chroma, LongCat-Image, Z-Image, Lumina 2, Krea 2, Qwen-Image, SD3.5, Anima, SD1.5, "
                "SD2 and SDXL, under every sampler."
            ),
            search_aliases=[*SEARCH, "soft refinement"],
            not_idempotent=True,
            inputs=[
                model_input(),
                Regions.Input(
                    "regions", tooltip="The regions to guide, best cells that cover the whole picture."
                ),
                delta_input(),
                *window_inputs(),
                fidelity_input(),
            ],
            outputs=[model_output()],
        )

    @classmethod
    @checked
    def execute(cls, model, regions, delta, start_percent, end_percent, fidelity) -> io.NodeOutput:
        with named(cls.NAME):
            spec = Refinement(
                check_regions(regions), delta, start_percent, end_percent, published=fidelity == "published"
            )
            return io.NodeOutput(add_spec(model, spec))


class RAGRegionalPrompting(io.ComfyNode):
    """Makes each region a picture of its own in the first steps, and the base prompt hold them together."""

    NAME = "Regional Prompting Attention"

    @classmethod
    def define_schema(cls) -> io.Schema:
        def interval(blocks: str, authors: str) -> io.Input:
            return io.Int.Input(
                f"{blocks}_interval",
                default=1,
                min=1,
                max=1000,
                tooltip=(
                    f"Of every so many {blocks} blocks the first keeps the regions apart; in the others they see each "
                    f"other (the paper's {blocks}_inject_blocks_interval). {authors}"
                ),
            )

        return io.Schema(
            node_id="RAGRegionalPrompting",
            display_name=cls.NAME,
            category=CATEGORY,
            description=(
                "In the first steps each region follows its own prompt and sees itself alone, and a share of the base "
                "prompt holds the picture together. For FLUX.1, FLUX.2, Chroma, LongCat-Image, Z-Image, Lumina 2, Krea 2, "
                "Qwen-Image and SD3.5, under every sampler."
            ),
            search_aliases=[*SEARCH, "regional prompting flux", "attention mask"],
            not_idempotent=True,
            inputs=[
                model_input(),
                Regions.Input(
                    "regions", tooltip="The regions to guide. Where they overlap, they share the picture."
                ),
                io.Float.Input(
                    "base_ratio",
                    default=0.2,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip=(
                        "Share of the base prompt everywhere (the paper's base_ratio): 0 none, 1 all. The authors take "
                        "0.3 for one region and 0.1 to 0.2 for two to four. 0 is the fastest."
                    ),
                ),
                *window_inputs(
                    0.4,
                    "Part of the sampling up to which the regions guide (the paper's mask_inject_steps). The authors "
                    "take 10 of 24 steps, at guidance 3.5. More makes regions stronger, and their borders visible.",
                ),
                interval("double", "The authors take 1."),
                interval(
                    "single",
                    "The authors take 1 where the regions tile the picture, 2 where it should hang together.",
                ),
                io.Combo.Input(
                    "background",
                    options=["base prompt", "nothing"],
                    default="base prompt",
                    tooltip=(
                        "What lies in no region: one more region with the base prompt, or nothing but the base prompt's "
                        "share."
                    ),
                ),
                fidelity_input("base_ratio"),
            ],
            outputs=[model_output()],
        )

    @classmethod
    @checked
    def execute(
        cls,
        model,
        regions,
        base_ratio,
        start_percent,
        end_percent,
        double_interval,
        single_interval,
        background,
        fidelity,
    ) -> io.NodeOutput:
        with named(cls.NAME):
            spec = RegionalPrompting(
                check_regions(regions),
                base_ratio,
                start_percent,
                end_percent,
                double_interval,
                single_interval,
                background=background == "base prompt",
                published=fidelity == "published",
            )
            return io.NodeOutput(add_spec(model, spec))


class RAGRPGRegionalDiffusion(io.ComfyNode):
    """Mixes each cell's own result with the base prompt's."""

    NAME = "RPG Regional Diffusion"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RAGRPGRegionalDiffusion",
            display_name=cls.NAME,
            category=CATEGORY,
            description=(
                "RPG's regional diffusion: in each cell the result of its own text is mixed with the base prompt's, "
                "by a ratio of its own. For the models of Soft Refinement Attention, under every sampler."
            ),
            search_aliases=[*SEARCH, "RPG", "base ratio", "complementary regional diffusion"],
            not_idempotent=True,
            inputs=[
                model_input(),
                Regions.Input(
                    "regions", tooltip="The regions to guide, best cells that cover the whole picture."
                ),
                io.Float.Input(
                    "base_ratio",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip=(
                        "How much the base prompt counts inside the regions: 0 not at all, 1 alone (base_ratio of "
                        "RPG, arXiv 2401.11708). Things of one kind in several cells: 0.35 to 0.55."
                    ),
                ),
                *window_inputs(),
                io.String.Input(
                    "base_ratios",
                    default="",
                    optional=True,
                    tooltip=(
                        "A base_ratio for each region, in reading order, with ',' or ';' between, for example 0.3, "
                        "0.5; the last one counts for the rest. Empty: base_ratio for all."
                    ),
                ),
            ],
            outputs=[model_output()],
        )

    @classmethod
    def validate_inputs(cls, base_ratios=None) -> bool | str:
        try:
            parse_base_ratios(base_ratios or "")
        except LayoutError as error:
            return f"{cls.NAME}: {error}"
        return True

    @classmethod
    @checked
    def execute(cls, model, regions, base_ratio, start_percent, end_percent, base_ratios="") -> io.NodeOutput:
        with named(cls.NAME):
            ratios = parse_base_ratios(base_ratios) or (base_ratio,)
            spec = RegionalDiffusion(check_regions(regions), ratios, start_percent, end_percent)
            return io.NodeOutput(add_spec(model, spec))
