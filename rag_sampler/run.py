"""One sampling run: the specs of all nodes laid out on its picture, and what happened."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from torch import Tensor

from .binding import Binding, BoundRegion
from .features import DOUBLE, SINGLE, Recording
from .refinement import GuidedPicture, Refinement, lay_out
from .regions import LayoutError, bound_tokens, describe, guided_tokens
from .replay import Replay
from .trajectory import Recorder

FAMILIES = {"Flux": "FLUX.1 (dev, schnell, Krea, Kontext, Fill and their fine-tunes)"}
"""Model classes of ComfyUI whose blocks Soft Refinement and feature binding know, and what they are."""
USUAL_SHARE = 0.25
"""Share of the steps beyond which binding is warned of."""


def adapted(model) -> bool:
    """Whether the MODEL runs blocks that we know."""
    return family(model) in FAMILIES


def family(model) -> str:
    """What a MODEL's architecture is called: ComfyUI's class, and a loader's own network if that has no blocks."""
    name = type(model.model).__name__
    if name in FAMILIES and not hasattr(model.model.diffusion_model, "double_blocks"):
        return f"{name} as {type(model.model.diffusion_model).__name__}"
    return name


@dataclass(eq=False)
class Run:
    """One sampling run: the specs laid out on its picture, and what happened.

    replay: a recorded run to go beside this one; original: its specs, laid out on the same picture.
    """

    bound: tuple[BoundRegion, ...]
    guided: tuple[GuidedPicture, ...]
    size: tuple[int, int]
    patch: int
    blocks: dict[str, int] | None
    recorder: Recorder | None = None
    replay: Replay | None = None
    original: Run | None = None
    evaluations: int = 0
    reached: bool = False
    refining: bool = False
    bound_sigmas: set[float] = field(default_factory=set)
    streams: int = 0
    hits: int = 0
    warned: set[str] = field(default_factory=set)

    @property
    def tokens(self) -> int:
        """Image tokens of the picture."""
        return -(-self.size[0] // self.patch) * -(-self.size[1] // self.patch)

    @property
    def appended_tokens(self) -> int:
        """The most tokens that a refinement adds to a forward: texts, and the second image stream."""

        states = any(region.features for region in self.bound)

        def added(guided: GuidedPicture) -> int:
            refinement = guided.refinement
            forks = refinement.published if refinement.delta < 1 else states and not guided.regional_only
            return sum(text.shape[1] for text in guided.refinement.texts) + forks * self.tokens

        return max(map(added, self.guided), default=0)

    def feature_bytes(self, model, batch: int) -> int:
        """Memory of the states that one step keeps at most, for a batch of so many pictures."""
        tokens = sum(region.tokens.count for region in self.bound if region.features)
        if self.replay is not None and self.blocks is not None:
            tokens += self.tokens
        if not tokens:
            return 0
        states = 1 + sum(self.blocks.values())
        return (
            batch * tokens * states * model.diffusion_model.hidden_size * model.get_dtype_inference().itemsize
        )

    def warn(self, message: str) -> None:
        """Log a warning once a run."""
        if message not in self.warned:
            self.warned.add(message)
            logging.warning("RAG: %s", message)

    def refinement(self, sigma: float) -> GuidedPicture | None:
        """The refinement that works at this sigma: the last of several."""
        active = [guided for guided in self.guided if guided.active(sigma)]
        if len(active) > 1:
            self.warn(
                f"{len(active)} Soft Refinement nodes work at the same time; the last in the chain wins"
            )
        return active[-1] if active else None


@dataclass(frozen=True, eq=False)
class Step:
    """What one model evaluation has to do; forwards read it from transformer_options."""

    run: Run
    refinement: GuidedPicture | None = None
    record: Recording | None = None
    paste: tuple[Recording, ...] = ()


def lay_out_run(model, specs: tuple, noise: Tensor, sigmas: Tensor, continues: bool) -> Run:
    """Rasterise the regions of all specs on the picture of this run.

    continues: whether the run goes on with an earlier one, whose first steps are done.
    """
    sampling = model.get_model_object("model_sampling")
    patch = patch_size(model.model)
    width, height = (size * 16 // patch for size in (noise.shape[-1], noise.shape[-2]))
    rows, columns = -(-noise.shape[-2] // patch), -(-noise.shape[-1] // patch)
    supported = adapted(model)
    network = model.model.diffusion_model
    blocks = {DOUBLE: len(network.double_blocks), SINGLE: len(network.single_blocks)} if supported else None
    bound, guided, texts = [], [], 0
    for spec in specs:
        try:
            if isinstance(spec, Refinement):
                window = tuple(
                    float(sampling.percent_to_sigma(p)) for p in (spec.start_percent, spec.end_percent)
                )
                cells = guided_tokens(spec.regions, width, height)
                guided.append(lay_out(spec, cells, rows, columns, window, texts))
                texts += len(spec.regions)
            elif isinstance(spec, Binding) and not continues:
                until = float(sigmas[min(spec.steps, len(sigmas) - 1)])
                for tokens in bound_tokens(spec.regions, width, height):
                    bound.append(BoundRegion(len(bound), tokens, until, spec.features and supported, patch))
        except LayoutError as error:
            raise LayoutError(f"{spec.node}: {error}") from None
    run = Run(tuple(bound), tuple(guided), tuple(noise.shape[-2:]), patch, blocks)
    for picture in guided:
        for number, cell in enumerate(picture.cells, 1):
            if len(cell) == 0:
                regions = picture.refinement.regions
                run.warn(f"{describe(number, regions)} of Soft Refinement is hidden by later regions")
    if continues and any(isinstance(spec, Binding) for spec in specs):
        logging.info(
            "RAG: this run continues an earlier one; regions are bound in a picture's first steps only"
        )
    steps = len(sigmas) - 1
    for spec in specs:
        if isinstance(spec, Binding) and not continues and spec.steps > steps * USUAL_SHARE:
            run.warn(
                f"{spec.node} binds {min(spec.steps, steps)} of {steps} steps, more than a quarter: regions may look "
                f"pasted in; bind_steps {max(1, int(steps * USUAL_SHARE))} is usually enough"
            )
    if not supported and any(isinstance(spec, Binding) and spec.features for spec in specs):
        run.warn(f"features are not bound: there is no adapter for the family {family(model)}; latents are")
    return run


def patch_size(model) -> int:
    """Latent pixels to a token's side; 2 (16 pixels of the picture) where a model does not say."""
    patch = getattr(model.diffusion_model, "patch_size", 2)
    return patch if isinstance(patch, int) else patch[-1]


def report(run: Run, steps: int, name: str) -> str:
    """One line on what a run did."""
    parts = [name]
    if run.bound:
        share = sum(region.tokens.count for region in run.bound) / run.tokens
        features = "with" if any(region.features for region in run.bound) else "without"
        parts.append(
            f"{len(run.bound)} regions ({share:.0%} of the tokens) bound at {len(run.bound_sigmas)} of {steps} "
            f"steps {features} features"
        )
    for guided in run.guided:
        share = sum(len(cell) for cell in guided.cells) / run.tokens
        parts.append(
            f"{len(guided.cells)} cells ({share:.0%} of the tokens) refined with delta {guided.refinement.delta:g} "
            f"in {run.hits} of {sum(run.blocks.values())} blocks, {run.streams} image streams"
        )
    return "; ".join(parts)
