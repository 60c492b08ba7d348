"""The sampler node: KSampler with regions, over the same functions as the MODEL nodes."""

import comfy.samplers
from comfy_api.latest import io

from ..rag_sampler.methods.binding import Binding
from ..rag_sampler.methods.refinement import Refinement
from ..rag_sampler.sampling import Settings, sample, with_regions
from .checks import checked
from .common import CATEGORY, SEARCH, Regions, check_regions, named
from .patches import bind_features_input, bind_steps_input, delta_input, fidelity_input


def sampling_inputs() -> list[io.Input]:
    """What KSampler asks for, but for denoise."""
    return [
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=0xFFFFFFFFFFFFFFFF,
            control_after_generate=io.ControlAfterGenerate.fixed,
            tooltip="The noise to start from; the same seed gives the same picture.",
        ),
        io.Int.Input("steps", default=20, min=1, max=10000, tooltip="Denoising steps."),
        io.Float.Input(
            "cfg",
            default=1.0,
            min=0.0,
            max=100.0,
            step=0.1,
            round=0.01,
            tooltip="1 for FLUX dev and schnell; above 1 the negative prompt counts and a step costs double.",
        ),
        io.Combo.Input(
            "sampler_name",
            options=comfy.samplers.KSampler.SAMPLERS,
            default="euler",
            tooltip="How each step is taken. All samplers work with regions.",
        ),
        io.Combo.Input(
            "scheduler",
            options=comfy.samplers.KSampler.SCHEDULERS,
            default="simple",
            tooltip="How the noise is divided among the steps.",
        ),
    ]


class RAGHardBindingSampler(io.ComfyNode):
    """KSampler with Hard Binding and Soft Refinement."""

    NAME = "Hard Binding Sampler"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RAGHardBindingSampler",
            display_name=cls.NAME,
            category=CATEGORY,
            description=(
                "KSampler with regions: Hard Binding in the first steps, Soft Refinement throughout. Without regions "
                "it is the stock KSampler."
            ),
            search_aliases=[*SEARCH, "KSampler", "sampler", "hard binding", "soft refinement"],
            not_idempotent=True,
            inputs=[
                io.Model.Input("model", tooltip="The model that makes the picture."),
                *sampling_inputs(),
                io.Conditioning.Input("positive", tooltip="The base prompt: describes the whole picture."),
                io.Conditioning.Input(
                    "negative", tooltip="What to avoid in the whole picture; unused at cfg 1."
                ),
                io.Latent.Input(
                    "latent_image", tooltip="Where to start: an empty latent, or a picture to change."
                ),
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Below 1 the latent shines through (image to image).",
                ),
                bind_steps_input(),
                bind_features_input(),
                delta_input(),
                fidelity_input(),
                io.Boolean.Input(
                    "keep_for_repaint",
                    default=True,
                    tooltip=(
                        "Keep a record of the run in the latent, so that Repaint can leave everything else exactly as "
                        "it is. Takes memory: two latents a step, 42 MB for 20 steps at 1024 × 1024."
                    ),
                ),
                Regions.Input(
                    "binding_regions",
                    optional=True,
                    tooltip="Regions for Hard Binding: one box an object, with gaps between them.",
                ),
                Regions.Input(
                    "refinement_regions",
                    optional=True,
                    tooltip="Regions for Soft Refinement: cells that cover the picture.",
                ),
            ],
            outputs=[io.Latent.Output(tooltip="The denoised latent.")],
        )

    @classmethod
    @checked
    def execute(
        cls,
        model,
        seed,
        steps,
        cfg,
        sampler_name,
        scheduler,
        positive,
        negative,
        latent_image,
        denoise,
        bind_steps,
        bind_features,
        delta,
        fidelity,
        keep_for_repaint=True,
        binding_regions=None,
        refinement_regions=None,
    ) -> io.NodeOutput:
        with named(cls.NAME):
            binding = refinement = None
            if binding_regions is not None:
                binding = Binding(
                    check_regions(binding_regions, "binding_regions"), bind_steps, bind_features
                )
            if refinement_regions is not None:
                cells = check_regions(refinement_regions, "refinement_regions")
                refinement = Refinement(cells, delta, published=fidelity == "published")
            latent = sample(
                with_regions(model, binding, refinement),
                latent_image,
                positive,
                negative,
                Settings(seed, steps, cfg, sampler_name, scheduler, denoise),
                keep_for_repaint=keep_for_repaint,
            )
            return io.NodeOutput(latent)
