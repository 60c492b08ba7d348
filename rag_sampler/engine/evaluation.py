"""One evaluation of the model: bound regions, main pass, predictions replaced; beside a recorded run, that first."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..loras.run import Lora
from ..loras.wearing import eagerly
from ..methods import lora_hooks
from ..methods.binding import ORIGIN, REGION, WORN, in_time
from ..methods.record import ORIGINAL
from ..methods.spec import Guided, Spec
from ..networks.states import Recording
from ..picture import Picture, TokenBox
from ..regions import owners
from .conditions import TEXTS, alone, with_texts
from .log import Log
from .plan import Plan

STEP = "rag_step"
"""Where the forwards of an evaluation find their Step in transformer_options."""

CACHE = "easycache"
"""Where ComfyUI's EasyCache keeps what it has seen of a run. It takes one picture for all that it sees, so that runs
beside the main pass get one of their own, which skips nothing: their states and predictions are wanted."""


@dataclass(frozen=True, eq=False)
class Part:
    """An entry of a region's own run.

    record: keeps the region's states. entry: uuid of the entry of the main pass that it stands for. loras: worn by all
    of its tokens.
    """

    record: Recording | None
    entry: object
    loras: tuple[Lora, ...] = ()


@dataclass(frozen=True, eq=False)
class Step:
    """What one model evaluation has to do; forwards read it from transformer_options.

    guided: the attention method that works. record: keeps the states of the whole picture; parts: what the
    entries of regions' own runs are, by their uuids; None in the main pass.
    is_main: whether a run without regions would make this evaluation, too.
    areas: uuids of the entries that cover a part of the picture alone; every other forward ought to see all of it.
    """

    plan: Plan
    log: Log
    guided: Guided | None = None
    record: Recording | None = None
    paste: tuple[Recording, ...] = ()
    parts: dict[object, Part] | None = None
    is_main: bool = True
    areas: frozenset = frozenset()

    @property
    def wears(self) -> bool:
        """Whether a forward may have tokens that wear LoRAs."""
        if self.parts is not None:
            return any(part.loras for part in self.parts.values())
        return self.guided is not None and any(map(self.plan.loras.group, self.guided.hooks))

    @property
    def specs(self) -> tuple[Spec, ...]:
        """Whose regions its forwards are for."""
        if self.parts is not None:
            return self.plan.binding
        return (self.guided.spec,) if self.guided is not None else ()

    def is_cut(self, entries: list) -> bool:
        """Whether a forward of these entries sees a part of the picture, and none of them asks for one."""
        return self.parts is None and self.areas.isdisjoint(entries)

    def chunk(self, branch: int, entry: object, picture: Picture) -> tuple[int, object, Recording | None]:
        """What states.Forward has to know of a chunk of a batch of such pictures."""
        record = self.record
        if self.parts is not None:
            part = self.parts.get(entry, Part(None, entry))
            record, entry = part.record, part.entry
        box = record.region.box if record else None
        fits = box and (box.height, box.width) == (picture.rows, picture.columns)
        return branch, entry, record if fits else None


@dataclass(frozen=True, eq=False)
class Run:
    """What the wrappers share during one run.

    original: the plan of the recorded run that is replayed beside it.
    """

    plan: Plan
    log: Log
    original: Plan | None = None


def evaluate_run(run: Run, executor, model, conds: list, x, timestep, model_options) -> list:
    """ComfyUI's batch of conditions with the regions of a run: a prediction for each branch."""
    original, conds = _of_run(conds, recorded=True), _of_run(conds, recorded=False)
    surroundings = ()
    if run.original is not None:
        replay, sigma = run.plan.replay, float(timestep[0])
        recorded = replay.evaluation(run.log.evaluations, sigma).x.to(x)
        everything = frozenset(range(len(conds)))
        unread = _unread(run.plan, sigma, conds) if replay.match_surroundings else everything
        kept = Recording(replay.surroundings, unread, _first(original, sigma))
        old = Evaluation(run.original, run.log, executor, model, timestep, model_options, is_main=False)
        old.predictions(original, recorded, record=kept)
        surroundings = (kept,)
    run.log.reached = True
    new = Evaluation(run.plan, run.log, executor, model, timestep, model_options)
    return new.predictions(conds, x, paste=surroundings)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One call of ComfyUI's batch of conditions under a plan; arguments as ComfyUI hands them to CALC_COND_BATCH."""

    plan: Plan
    log: Log
    executor: object
    model: object
    timestep: torch.Tensor
    model_options: dict
    is_main: bool = True

    @property
    def sigma(self) -> float:
        return float(self.timestep[0])

    def predictions(self, conds: list, x: torch.Tensor, record: Recording | None = None, paste=()) -> list:
        """What each branch predicts: bound regions, main pass, predictions replaced.

        record keeps the main pass's image states; paste are states of another run for it.
        """
        base = [None if c is None else [e for e in c if REGION not in e] for c in conds]
        marked = [[e for e in c or () if REGION in e] for c in conds]
        self.plan.loras.advance(self.timestep[0], self.model_options["transformer_options"])
        guided = self._guided()
        if guided is not None and any(map(_covers, base)):
            self.log.guiding.add(guided)
        recordings, predictions, bound = self._bind(base, marked, x)
        areas = frozenset(e["uuid"] for entries in base for e in entries or () if "area" in e)
        pasted = (*recordings, *paste)
        step = Step(self.plan, self.log, guided, record, pasted, is_main=self.is_main, areas=areas)
        out = list(self._call(base, x, step))
        for branch, entries in enumerate(base if predictions else ()):
            if entries is not None:
                out[branch] = torch.where(bound, predictions[branch], out[branch])
        return out

    def _call(self, conds: list, x: torch.Tensor, step: Step) -> list:
        options = {**self.model_options["transformer_options"], STEP: step}
        if not step.is_main and hasattr(options.get(CACHE), "clone"):
            options[CACHE] = options[CACHE].clone()
        with eagerly(step.wears):
            return self.executor(
                self.model, conds, x, self.timestep, {**self.model_options, "transformer_options": options}
            )

    def _guided(self) -> Guided | None:
        """The attention method that works at this sigma: the last of several."""
        active = self.plan.active(self.sigma)
        if len(active) > 1:
            names = " and ".join(dict.fromkeys(guided.spec.method for guided in active))
            self.log.warn(
                f"{len(active)} nodes of {names} work at the same time; the last in the chain wins",
                *(guided.spec for guided in active),
            )
        return active[-1] if active else None

    def _bind(self, base: list, marked: list, x: torch.Tensor):
        """The bound regions: their recordings, each branch's predictions, and where these count.

        All regions go to ComfyUI in one batch of conditions, for the part of the picture that is theirs alone. It
        patches the weights once for each group of hooks among them, runs equal crops together where memory allows,
        and shares them among devices (MultiGPU CFG Split).
        """
        plan, sigma, unread = self.plan, self.sigma, _unread(self.plan, self.sigma, base)
        regions = [region for region in plan.bound if region.runs(marked, sigma)]
        owner = owners([region.tokens for region in regions], plan.picture)
        conds, parts, recordings = [None if c is None else [] for c in base], {}, []
        for number, region in enumerate(regions, 1):
            if not (owner == number).any():
                continue  # hidden by later ones
            owned = plan.picture.spread(owner == number).to(x).expand(1, *x.shape[2:])
            own = region.conditions(base, marked, x, owned)
            recording = Recording(region.tokens, unread, _first(own, sigma)) if region.features else None
            recordings += [recording] if recording else []
            for entries, mine in zip(conds, own, strict=True):
                if mine is not None:
                    entries += self._told_of_size(mine, region.tokens.box)
                    for e in mine:
                        parts[e["uuid"]] = Part(recording, e.get(ORIGIN, e["uuid"]), e.get(WORN, ()))
            self.log.bound_steps[region].add(plan.schedule.step(sigma))
        if not parts:
            return (), None, None
        conds = [None if c is None else lora_hooks.sort(c, base) for c in conds]
        predictions = self._call(conds, x, Step(plan, self.log, parts=parts, is_main=False))
        if any(not recording.states for recording in recordings):
            self.log.unseen = True
            self.log.warn(
                "features are not bound: the model's blocks bypass ComfyUI's hooks; latents are bound",
                *plan.binding,
            )
        return recordings, predictions, plan.picture.spread(owner > 0).to(x.device)

    def _told_of_size(self, entries: list[dict], box: TokenBox) -> list[dict]:
        """The entries of a region's own run, where the network is told the size of what it runs."""
        if self.plan.network is None or not self.plan.network.family.sized:
            return entries
        part, device = self.plan.picture.within(box), self.timestep.device
        return [alone(self.model, entry, part, device) for entry in entries]


def _of_run(conds: list, recorded: bool) -> list:
    """The entries of the recorded run, or of the one beside it."""
    return [None if c is None else with_texts([e for e in c if (ORIGINAL in e) == recorded]) for c in conds]


def _first(conds: list, sigma: float) -> dict[int, object]:
    """The uuid of each branch's first entry in the main pass that is in its time."""
    live = [[entry for entry in entries or () if in_time(entry, sigma)] for entries in conds]
    first = {branch: entries[0] for branch, entries in enumerate(live) if entries}
    return {branch: entry.get(ORIGIN, entry["uuid"]) for branch, entry in first.items()}


def _covers(entries: list | None) -> bool:
    """Whether a branch has the regional texts on an entry for the whole picture."""
    return any(TEXTS in entry["model_conds"] and "area" not in entry for entry in entries or ())


def _unread(plan: Plan, sigma: float, conds: list) -> frozenset[int]:
    """The branches in whose main pass nothing reads the states of blocks that can carry a second image stream."""
    active = plan.active(sigma)
    if not active or not active[-1].unread:
        return frozenset()
    return frozenset(branch for branch, entries in enumerate(conds) if _covers(entries))
