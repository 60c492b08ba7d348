"""What happened in a run, and what its user is told of it."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..loras.wearing import Wearing
from ..methods.binding import BoundRegion
from ..methods.spec import Guided, Spec
from ..page import At, tell

if TYPE_CHECKING:
    from .plan import Plan


@dataclass(eq=False)
class Log:
    """One run so far.

    evaluations: of the model; reached: whether they went through our batch of conditions.
    bound_steps: the steps at which each region was bound; unseen: whether no block showed its states to be bound.
    guiding: attention methods that should have worked; hits: blocks in which each did; streams: image streams it used.
    layers: how many regions' LoRAs were worn in.
    cost, plain_cost: of the forwards, and of the run without regions (cost.py).
    told: the warnings at each node.
    """

    evaluations: int = 0
    reached: bool = False
    bound_steps: dict[BoundRegion, set[int]] = field(default_factory=lambda: defaultdict(set))
    unseen: bool = False
    guiding: set[Guided] = field(default_factory=set)
    hits: dict[Guided, int] = field(default_factory=lambda: defaultdict(int))
    streams: dict[Guided, int] = field(default_factory=lambda: defaultdict(int))
    cost: float = 0.0
    plain_cost: float = 0.0
    layers: int = 0
    warned: set[str] = field(default_factory=set)
    told: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def warn(self, message: str, *specs: Spec) -> None:
        """Log a warning once a run, and show it at the node that it is for, or at those of the specs that it is about."""
        if message not in self.warned:
            self.warned.add(message)
            logging.warning("RAG: %s", message)
        for node in [message.node_id] if isinstance(message, At) else {spec.node_id for spec in specs}:
            if message not in self.told[node]:
                self.told[node].append(message)
                tell(node, "\n".join(self.told[node]))

    def clear(self, specs: tuple[Spec, ...]) -> None:
        """Take an earlier run's warnings from the nodes of these specs and their regions that have none in this one."""
        for node in {one.node_id for spec in specs for one in (spec, *spec.regions)} - self.told.keys():
            tell(node, "")

    def wore(self, wearing: Wearing, *specs: Spec) -> None:
        """Count what tokens wore in a forward for specs."""
        self.layers = max(self.layers, len(wearing.layers - wearing.left_out))
        moved = getattr(wearing.places, "moved", set())
        if moved:
            self.warn(
                f"regions' LoRAs are left out in {len(moved)} layers ({min(moved)}, for one), whose tokens another node "
                f"rearranges, as HyperTile and Token Merging do",
                *specs,
            )
        if blind := sorted(wearing.left_out - moved):
            first, *more = blind
            self.warn(
                f"regions' LoRAs change layers in which no token is a region's own, as those of the time and the pooled "
                f"text; these are left out ({first}{f' and {len(more)} more' if more else ''})",
                *specs,
            )
        self.cost += wearing.cost

    def report(self, plan: Plan) -> str:
        """One line on what the run did."""
        told = [layer.spec.report(layer, plan, self) for layer in plan.layers]
        parts = [plan.family, *filter(None, told)]
        if self.layers:
            parts.append(f"regions wear {len(plan.loras.all)} LoRAs in {self.layers} layers")
        if self.plain_cost:
            parts.append(f"{self.cost / self.plain_cost:.2f} × the cost of a plain run")
        return "; ".join(parts)
