"""What the engine asks of every method."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from ..attention.levels import CrossProgram
from ..attention.reads import Program
from ..loras.run import Loras
from ..networks.network import Network
from ..page import executing_node
from ..picture import Picture
from ..schedule import Schedule, Window

if TYPE_CHECKING:
    from comfy.hooks import HookGroup

    from ..engine.log import Log
    from .binding import BoundRegion
    from .record import Recorder, Replay


@dataclass(frozen=True, eq=False)
class Setting:
    """What a method is laid out on: the picture, schedule and network of one run.

    network: None without an adapter for it; family: what the MODEL's architecture is called.
    loras: those that regions wear, of which no weight is changed.
    """

    picture: Picture
    schedule: Schedule
    network: Network | None
    family: str
    loras: Loras = field(default_factory=Loras, kw_only=True)


@dataclass(frozen=True, eq=False)
class Spec:
    """What one node asks of the engine; immutable, and shared by all runs of its MODEL.

    node, method: how messages call the node and what it does. regions: the regions it brings, if any.
    expects_picture: whether its runs are meant to start from a picture.
    node_id: of the node that made it, where a server runs.
    """

    node = ""
    method = ""
    expects_picture = False

    node_id: str = field(default_factory=executing_node, kw_only=True)

    @property
    def changes_anything(self) -> bool:
        return True

    def check(self, model) -> None:
        """Raise ValueError where the MODEL's family cannot do it."""

    def prompt_hooks(self) -> list:
        """Those of prompts that it brings to a run."""
        return []

    def hooks(self) -> list:
        """The LoRA hooks of its regions."""
        return []

    def advice(self, schedule: Schedule, patches: dict[str, list]) -> Iterator[str]:
        """What a user should know of the settings; patches: those of the MODEL's transformer_options."""
        yield from ()

    def on_prompt(self, entries: list[dict]) -> Iterator[str]:
        """What a user should know of the base prompt of a run; entries: of a guider, before ComfyUI encodes them."""
        yield from ()

    def lay_out(self, setting: Setting) -> Layer:
        """What it comes to in one run. Raises LayoutError for a region that has no place in the picture."""
        return Layer(self)

    def report(self, layer: Layer, setting: Setting, log: Log) -> str:
        """A few words on what it did in a run; empty where that is nothing."""
        return ""


class Guided(Protocol):
    """An attention method laid out on one run.

    spec: what asked for it. window: where it works.
    conditioning: of its regions, an entry each. texts: theirs, [1, T, C] each; lengths may differ.
    text_masks: of these texts [1, T], where their conditionings bring them, else None.
    copies: how many copies of the base prompt's text follow them.
    hooks: of each region the LoRA hooks that its tokens wear, or None.
    unread: whether nothing reads the states that are pasted into blocks that can carry a second image stream.
    """

    spec: Spec
    window: Window
    conditioning: list
    texts: tuple[Tensor, ...]
    text_masks: tuple[Tensor | None, ...]
    copies: int
    hooks: tuple[HookGroup | None, ...]
    unread: bool

    def owner(self, level: Picture | None) -> Tensor:
        """Of each image token the number of its region, from 1, or 0; level: the picture as a level of the network sees
        it, None where it has no levels."""

    def words(self, texts: tuple[int, ...]) -> Tensor:
        """Of each token of a program's texts, so many each, the number of its region; numbers of no region for others."""

    def forks(self, pasted: bool) -> bool:
        """Whether it wants a second image stream; pasted: whether states are pasted into the forward."""

    def program(
        self, base: int, texts: tuple[int, ...], references: int, fork: str | None, device, dtype
    ) -> Program:
        """The reads of one forward.

        base, texts: tokens of the base prompt's text and of its own; references: tokens of reference pictures after
        the picture's; fork: the kind of block that carries the second image stream, or None; device, dtype: of the
        network's queries.
        """

    def on_levels(
        self, picture: Picture, texts: tuple[int, ...], timestep: float, device, dtype
    ) -> CrossProgram:
        """As program, of a method that is defined for cross-attention.

        texts: tokens of the base prompt's text and of its own; timestep: the network's, 1000 in noise and 0 without.
        """


@dataclass(frozen=True, eq=False)
class Layer:
    """A spec laid out on one run.

    bound: regions that are run on their own; guided: what an attention method does to the main pass, in one part of
    the sampling each.
    recorder, replay: what watches every evaluation. advice: what a user should know of the layout.
    """

    spec: Spec
    bound: tuple[BoundRegion, ...] = ()
    guided: tuple[Guided, ...] = ()
    recorder: Recorder | None = None
    replay: Replay | None = None
    advice: tuple[str, ...] = ()
