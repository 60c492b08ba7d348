"""The Repaint node."""

from comfy_api.latest import io

from ..rag_sampler.methods.refinement import Refinement
from ..rag_sampler.picture import Picture
from ..rag_sampler.repaint import NewRegion, mask_tokens, repaint
from ..rag_sampler.sampling import Settings
from .checks import checked
from .common import (
    CATEGORY,
    SEARCH,
    Regions,
    check_regions,
    clip_input,
    conditioning_input,
    named,
    source,
    text_input,
)
from .patches import delta_input
from .sampler import sampling_inputs


class RAGRepaint(io.ComfyNode):
    """Makes one region of a picture anew and keeps the rest."""

    NAME = "Repaint"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RAGRepaint",
            display_name=cls.NAME,
            category=CATEGORY,
            description=(
                "Paints the white part of a mask anew, fitting its surroundings, and leaves the rest of the latent "
                "exactly as it is. Best with a latent from the Hard Binding Sampler; any other works, too. A step "
                "costs about two passes."
            ),
            search_aliases=[*SEARCH, "repaint", "inpaint", "edit region"],
            not_idempotent=True,
            inputs=[
                io.Model.Input("model", tooltip="The model that made the picture, without Hard Binding."),
                io.Latent.Input(
                    "prior",
                    tooltip=(
                        "The picture to change. With the record of the Hard Binding Sampler (keep_for_repaint) its "
                        "own schedule, sampler and cfg are used; without one, those below."
                    ),
                ),
                io.Mask.Input(
                    "mask", tooltip="White is painted anew. Regions to Mask gives a region of the layout."
                ),
                io.Conditioning.Input("positive", tooltip="The base prompt of the new picture."),
                io.Conditioning.Input("negative", tooltip="What to avoid; unused at cfg 1."),
                delta_input(),
                *sampling_inputs(),
                io.Int.Input(
                    "repaint_bind_steps",
                    default=3,
                    min=0,
                    max=10000,
                    tooltip=(
                        "Steps, from the first, in which the region is made alone (the paper's "
                        "Repainting_HB_replace). More: truer to its prompt; fewer: closer to its surroundings."
                    ),
                ),
                io.Int.Input(
                    "grow",
                    default=10,
                    min=0,
                    max=512,
                    tooltip="Pixels by which the white part of the mask grows before use.",
                ),
                io.Boolean.Input(
                    "match_surroundings",
                    default=True,
                    tooltip="Let the region see its surroundings in all blocks (the paper's Repainting_single).",
                ),
                clip_input(),
                text_input(),
                conditioning_input(),
                Regions.Input(
                    "refinement_regions",
                    optional=True,
                    tooltip="The cells of the new picture, with the new text where the region lies.",
                ),
            ],
            outputs=[
                io.Latent.Output(tooltip="The new picture; it can be repainted again."),
                io.Mask.Output(display_name="mask used", tooltip="What was painted anew, in whole tokens."),
            ],
        )

    @classmethod
    @checked
    def execute(
        cls,
        model,
        prior,
        mask,
        positive,
        negative,
        delta,
        seed,
        steps,
        cfg,
        sampler_name,
        scheduler,
        repaint_bind_steps,
        grow,
        match_surroundings,
        clip=None,
        text="",
        conditioning=None,
        refinement_regions=None,
    ) -> io.NodeOutput:
        with named(cls.NAME):
            own, _ = source(clip, text, conditioning)
            if (count := mask.shape[:-2].numel()) != 1:
                raise ValueError(f"mask holds {count} masks; connect one")
            picture = Picture.of_latent(prior["samples"], model)
            inside = mask_tokens(mask.reshape(mask.shape[-2:]), picture, grow)
            refinement = None
            if refinement_regions is not None:
                refinement = Refinement(check_regions(refinement_regions, "refinement_regions"), delta)
            latent = repaint(
                model,
                prior,
                NewRegion(inside, own, repaint_bind_steps, match_surroundings),
                positive,
                negative,
                Settings(seed, steps, cfg, sampler_name, scheduler),
                refinement,
            )
            return io.NodeOutput(latent, picture.in_pixels.spread(inside.float())[None])
