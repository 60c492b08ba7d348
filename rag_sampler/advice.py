"""What a user should know of a layout before the first step: warnings that name the cause, once a run."""

from __future__ import annotations

from collections.abc import Iterator

from .binding import Binding
from .refinement import GuidedPicture, Refinement
from .regions import Region, TokenRegion, describe

USUAL_SHARE = 0.25
"""Share of the steps beyond which binding is warned of."""
SMALL_SHARE = 0.02
"""Share of the picture below which a region is called small."""


def on_specs(specs: tuple, steps: int) -> Iterator[str]:
    """What the settings alone tell; specs that change nothing included."""
    usual = max(1, int(steps * USUAL_SHARE))
    for spec in specs:
        if isinstance(spec, Refinement) and spec.delta == 0:
            yield f"{spec.node} has delta 0 and changes nothing"
        if isinstance(spec, Binding) and spec.steps == 0:
            yield f"{spec.node} has bind_steps 0 and changes nothing"
        elif isinstance(spec, Binding) and spec.steps > steps:
            yield f"{spec.node} has bind_steps {spec.steps}, but the run has {steps} steps; all are bound"
        elif isinstance(spec, Binding) and spec.steps > usual:
            yield (
                f"{spec.node} binds {spec.steps} of {steps} steps, more than a quarter: regions may look pasted in; "
                f"bind_steps {usual} is usually enough"
            )
        if isinstance(spec, Binding | Refinement):
            for number, region in enumerate(spec.regions, 1):
                if region.text is not None and not region.text.strip():
                    yield f"{spec.node}: the prompt of {describe(number, spec.regions)} is empty"


def on_patches(specs: tuple, patches: dict[str, list]) -> Iterator[str]:
    """Which of the model's patches do nothing beside our specs; patches: those of transformer_options."""
    nag = any("NAGuidance" in getattr(p, "__qualname__", "") for p in patches.get("attn1_output_patch", ()))
    if nag and any(isinstance(spec, Refinement) for spec in specs):
        yield (
            f"Normalized Attention Guidance needs the positive and the negative prompt in one forward, and "
            f"{Refinement.node} runs them apart: NAG has no effect while it refines; use cfg instead"
        )


def on_tokens(
    node: str, regions: tuple[Region, ...], tokens: tuple[TokenRegion, ...], total: int
) -> Iterator[str]:
    """What the regions' tokens tell; total: image tokens of the picture."""
    for number, region in enumerate(tokens, 1):
        share = region.count / total
        if share < SMALL_SHARE:
            yield (
                f"{node}: {describe(number, regions)} has {region.count} of {total} tokens ({share:.1%} of the "
                f"picture); under {SMALL_SHARE:.0%} there is hardly room for a thing"
            )


def on_cells(picture: GuidedPicture, total: int) -> Iterator[str]:
    """What the cells of a refinement tell once overlaps are settled."""
    node, regions = picture.refinement.node, picture.refinement.regions
    for number, cell in enumerate(picture.cells, 1):
        if len(cell) == 0:
            yield f"{node}: {describe(number, regions)} is hidden by later regions"
    if len(picture.uncovered):
        yield (
            f"{node}: {len(picture.uncovered) / total:.0%} of the picture lies in no region and follows the base prompt "
            "alone"
        )
