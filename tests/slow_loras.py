"""LoRAs of regions by their definition: every token has an effective weight of its own in every linear layer, which is
formed whole."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor
from torch.nn.functional import linear

Groups = Callable[[str, Tensor], Iterator[tuple[int, object]]]
"""Of a layer's name and input [B, tokens, C]: the LoRAs by number, and which tokens wear each."""


@contextmanager
def effective_weights(network, loras: list[dict[str, Tensor]], groups: Groups) -> Iterator[None]:
    """loras: of each region, what it adds to the weights of layers [out, in] by their names."""
    modules = {name: network.get_submodule(name) for lora in loras for name in lora}

    def forward_of(name: str, module) -> Callable[[Tensor], Tensor]:
        def forward(x: Tensor) -> Tensor:
            out = linear(x, module.weight, module.bias)
            for number, tokens in groups(name, x):
                out[:, tokens] = linear(x[:, tokens], module.weight + loras[number][name], module.bias)
            return out

        return forward

    for name, module in modules.items():
        module.forward = forward_of(name, module)
    try:
        yield
    finally:
        for module in modules.values():
            del module.forward
