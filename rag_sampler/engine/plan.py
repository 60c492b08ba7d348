"""What a run is going to do, made before its first step."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .. import networks
from ..loras.run import Loras
from ..methods.binding import BoundRegion
from ..methods.record import Recorder, Replay
from ..methods.spec import Guided, Layer, Setting, Spec
from ..picture import Picture
from ..regions import LayoutError
from ..schedule import Schedule


@dataclass(frozen=True, eq=False)
class Plan(Setting):
    """The specs of all nodes laid out on one run."""

    layers: tuple[Layer, ...]

    @property
    def bound(self) -> tuple[BoundRegion, ...]:
        """All bound regions; where they overlap, the later one wins."""
        return tuple(region for layer in self.layers for region in layer.bound)

    @property
    def binding(self) -> tuple[Spec, ...]:
        """Whose these regions are."""
        return tuple(layer.spec for layer in self.layers if layer.bound)

    @property
    def guided(self) -> tuple[Guided, ...]:
        """All attention methods; where several work at the same time, the last one does."""
        return tuple(guided for layer in self.layers for guided in layer.guided)

    @property
    def recorder(self) -> Recorder | None:
        return next((layer.recorder for layer in self.layers if layer.recorder is not None), None)

    @property
    def replay(self) -> Replay | None:
        return next((layer.replay for layer in self.layers if layer.replay is not None), None)

    def active(self, sigma: float) -> tuple[Guided, ...]:
        """The attention methods in whose window a sigma lies."""
        return tuple(guided for guided in self.guided if sigma in guided.window)

    def texts_of(self, guided: Guided, texts: list[Tensor]) -> list[Tensor]:
        """Those of one attention method among the texts of all."""
        before = self.guided[: self.guided.index(guided)]
        first = sum(len(other.texts) for other in before)
        return texts[first : first + len(guided.texts)]

    @property
    def added_tokens(self) -> int:
        """The most tokens that an attention method adds to a forward: texts, and the second image stream."""
        pasted = any(region.features for region in self.bound)

        def added(guided: Guided) -> int:
            texts = [self.network.text_length(text) for text in guided.texts]
            copies = guided.copies * max(texts, default=0)  # the base prompt's text is about as long
            forks = self.network.family.fork is not None and guided.forks(pasted)
            return sum(texts) + copies + forks * self.picture.tokens

        return max(map(added, self.guided), default=0)

    def lora_bytes(self, itemsize: int) -> int:
        """Memory of the LoRAs that regions wear."""
        return self.loras.size * itemsize

    def state_bytes(self, batch: int, itemsize: int) -> int:
        """Memory of the states that one step keeps at most, for a batch of so many pictures."""
        if self.network is None:
            return 0
        tokens = sum(region.tokens.count for region in self.bound if region.features)
        tokens += self.picture.tokens if self.replay is not None else 0
        return batch * self.network.state_bytes(tokens, itemsize)


def make_plan(model, specs: tuple[Spec, ...], noise: Tensor, schedule: Schedule) -> Plan:
    """Lay the specs out on the picture of a run. Raises LayoutError that names the node."""
    loras = Loras.of(model, [hook for spec in specs for hook in spec.hooks()])
    loras.start()
    setting = (Picture.of_latent(noise, model), schedule, networks.of(model), networks.name_of(model))
    layers = []
    for spec in specs:
        try:
            layers.append(spec.lay_out(Setting(*setting, loras=loras)))
        except LayoutError as error:
            raise LayoutError(f"{spec.node}: {error}") from None
    return Plan(*setting, tuple(layers), loras=loras)
