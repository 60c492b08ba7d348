"""One sampling run: the specs of all nodes laid out on its picture, and what happened."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from torch import Tensor

from . import advice, networks
from .attention.reads import Program
from .binding import Binding, BoundRegion
from .cost import plain_cost, program_cost
from .networks.network import Network
from .networks.states import Recording
from .picture import Picture
from .refinement import GuidedPicture, Refinement, lay_out
from .regions import LayoutError, bound_tokens, guided_tokens
from .replay import Replay
from .trajectory import Recorder


@dataclass(eq=False)
class Run:
    """One sampling run: the specs laid out on its picture, and what happened.

    network: None without an adapter.
    replay: a recorded run to go beside this one; original: its specs, laid out on the same picture.
    cost, plain_cost: of the forwards so far, and of the run without regions (cost.py).
    advice: what a user should know of the layout.
    """

    bound: tuple[BoundRegion, ...]
    guided: tuple[GuidedPicture, ...]
    picture: Picture
    network: Network | None = None
    recorder: Recorder | None = None
    replay: Replay | None = None
    original: Run | None = None
    evaluations: int = 0
    reached: bool = False
    refining: bool = False
    bound_sigmas: set[float] = field(default_factory=set)
    streams: int = 0
    hits: int = 0
    cost: float = 0.0
    plain_cost: float = 0.0
    advice: tuple[str, ...] = ()
    warned: set[str] = field(default_factory=set)

    @property
    def appended_tokens(self) -> int:
        """The most tokens that a refinement adds to a forward: texts, and the second image stream."""
        states = any(region.features for region in self.bound)

        def added(guided: GuidedPicture) -> int:
            texts = sum(self.network.text_length(text.shape[1]) for text in guided.refinement.texts)
            return texts + guided.forks(states) * self.picture.tokens

        return max(map(added, self.guided), default=0)

    def feature_bytes(self, model, batch: int) -> int:
        """Memory of the states that one step keeps at most, for a batch of so many pictures."""
        tokens = sum(region.tokens.count for region in self.bound if region.features)
        if self.replay is not None and self.network is not None:
            tokens += self.picture.tokens
        if not tokens:
            return 0
        return batch * self.network.state_bytes(tokens, model.get_dtype_inference().itemsize)

    def count(self, batch: int, text: int, image: int, program: Program | None, of_region: bool) -> None:
        """Add a forward to the cost; text and image: its tokens without those of Soft Refinement."""
        plain = batch * plain_cost(self.network, text, image)
        self.cost += plain if program is None else batch * program_cost(self.network, program)
        if not of_region:
            self.plain_cost += plain

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
    """What one model evaluation has to do; forwards read it from transformer_options.

    record: keeps the states of the whole picture; parts: those of regions, by the uuids of the entries of their
    own runs, each with the uuid of the entry of the main pass that it stands for. None in the main pass.
    """

    run: Run
    refinement: GuidedPicture | None = None
    record: Recording | None = None
    paste: tuple[Recording, ...] = ()
    parts: dict[object, tuple[Recording | None, object]] | None = None

    def chunk(self, branch: int, entry: object, picture: Picture) -> tuple[int, object, Recording | None]:
        """What states.Forward has to know of a chunk of a batch of such pictures."""
        record = self.record
        if self.parts is not None:
            record, entry = self.parts.get(entry, (None, entry))
        box = record.region.box if record else None
        return (
            branch,
            entry,
            record if box and (box.height, box.width) == (picture.rows, picture.columns) else None,
        )


def lay_out_run(model, specs: tuple, noise: Tensor, sigmas: Tensor, continues: bool) -> Run:
    """Rasterise the regions of all specs on the picture of this run.

    continues: whether the run goes on with an earlier one, whose first steps are done.
    """
    sampling = model.get_model_object("model_sampling")
    picture = Picture.of_latent(noise, model)
    network = networks.of(model)
    bound, guided, texts = [], [], 0
    messages: list[str] = []
    for spec in specs:
        try:
            if isinstance(spec, Refinement):
                window = tuple(
                    float(sampling.percent_to_sigma(p)) for p in (spec.start_percent, spec.end_percent)
                )
                cells = guided_tokens(spec.regions, picture)
                guided.append(lay_out(spec, cells, picture, window, texts))
                messages += advice.on_tokens(spec.node, spec.regions, cells, picture.tokens)
                messages += advice.on_cells(guided[-1], picture.tokens)
                texts += len(spec.regions)
            elif isinstance(spec, Binding) and not continues:
                until = float(sigmas[min(spec.steps, len(sigmas) - 1)])
                boxes = bound_tokens(spec.regions, picture)
                messages += advice.on_tokens(spec.node, spec.regions, boxes, picture.tokens)
                for tokens in boxes:
                    bound.append(
                        BoundRegion(len(bound), tokens, until, spec.features and network is not None, picture)
                    )
        except LayoutError as error:
            raise LayoutError(f"{spec.node}: {error}") from None
    run = Run(tuple(bound), tuple(guided), picture, network)
    run.advice = tuple(messages)
    if continues and any(isinstance(spec, Binding) for spec in specs):
        logging.info(
            "RAG: this run continues an earlier one; regions are bound in a picture's first steps only"
        )
    if network is None and any(isinstance(spec, Binding) and spec.features for spec in specs):
        run.warn(
            f"features are not bound: there is no adapter for the family {networks.name_of(model)}; latents are"
        )
    return run


def report(run: Run, steps: int, name: str) -> str:
    """One line on what a run did."""
    parts = [name]
    if run.bound:
        share = sum(region.tokens.count for region in run.bound) / run.picture.tokens
        features = "with" if any(region.features for region in run.bound) else "without"
        parts.append(
            f"{len(run.bound)} regions ({share:.0%} of the tokens) bound at {len(run.bound_sigmas)} of {steps} "
            f"steps {features} features"
        )
    for guided in run.guided:
        share = sum(len(cell) for cell in guided.cells) / run.picture.tokens
        parts.append(
            f"{len(guided.cells)} cells ({share:.0%} of the tokens) refined with delta {guided.refinement.delta:g} "
            f"in {run.hits} of {run.network.layers} blocks, {run.streams} image streams"
        )
    if run.replay is not None:
        parts.append("beside a recorded run")
    if run.recorder is not None:
        parts.append("recorded for Repaint")
    if run.plain_cost:
        cost = run.cost + (run.original.cost if run.original else 0)
        parts.append(f"{cost / run.plain_cost:.2f} × the cost of a plain run")
    return "; ".join(parts)
