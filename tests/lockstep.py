"""The methods written down directly for any family whose text and image attend jointly: a stock forward for every
text, side by side. At each attention the image tokens of all of them take the mixed result."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, local

import torch
from torch import Tensor

OVERRIDE = "optimized_attention_override"


class Lockstep:
    """Runs in place of a model's forward, as `set_model_unet_function_wrapper` takes it.

    texts: of the cells; cells: image token numbers; image: how many the network makes of the picture, with padding.
    running.number: of the text that the calling thread runs, 0 for the base prompt's.
    share: of the cell's own result. apart: whether a cell and its text see that cell alone (Regional Prompting).
    """

    def __init__(
        self, texts: list[Tensor], cells: list[Tensor], image: int, share: float, apart: bool = False
    ):
        self.texts, self.cells, self.image, self.share, self.apart = texts, cells, image, share, apart
        self.running = local()

    def __call__(self, apply: Callable, args: dict) -> Tensor:
        x, timestep, given = args["input"], args["timestep"], args["c"]
        if args["cond_or_uncond"] != [0]:
            return apply(x, timestep, **given)
        texts = [given["c_crossattn"], *(text.expand(len(x), -1, -1) for text in self.texts)]
        barrier, results = Barrier(len(texts)), [None] * len(texts)

        def mixed(number: int, own: Tensor) -> Tensor:
            results[number] = own[:, -self.image :]
            barrier.wait()
            image = results[0].clone()
            for cell, result in zip(self.cells, results[1:], strict=True):
                image[:, cell] = torch.lerp(image[:, cell], result[:, cell], self.share)
            barrier.wait()
            return torch.cat((own[:, : -self.image], image), 1)

        def forward(number: int) -> Tensor:
            self.running.number = number

            def attend(func, q, k, v, *rest, transformer_options, **kwargs):
                axis = 2 if kwargs.get("skip_reshape") else 1
                refines = axis == 2 and "block_index" not in transformer_options  # SD3.5 numbers no block
                if refines or q.shape[axis] == self.image:
                    return func(q, k, v, *rest, transformer_options=transformer_options, **kwargs)
                if self.apart and number:
                    text = torch.arange(k.shape[axis] - self.image)
                    seen = torch.cat((text, len(text) + self.cells[number - 1]))
                    k, v = k.index_select(axis, seen), v.index_select(axis, seen)
                return mixed(number, func(q, k, v, *rest, transformer_options=transformer_options, **kwargs))

            options = {**given["transformer_options"], OVERRIDE: attend}
            own = {**given, "c_crossattn": texts[number], "transformer_options": options}
            try:
                with torch.inference_mode():
                    return apply(x, timestep, **own)
            except Exception:
                barrier.abort()
                raise

        with ThreadPoolExecutor(len(texts)) as threads:
            base, *_ = threads.map(forward, range(len(texts)))
        return base


class Pasted:
    """Runs in place of a model's forward: behind every block, and in the prediction, a box's tokens become those of a
    run of its own on its crop.

    blocks: of the network. text: of the box, rows, columns: its tokens. multiple: to which the network pads an image.
    side: latent pixels to a token's.
    """

    def __init__(
        self, blocks: list, text: Tensor, rows: slice, columns: slice, multiple: int = 1, side: int = 2
    ):
        self.blocks, self.text, self.rows, self.columns = blocks, text, rows, columns
        self.multiple, self.side = multiple, side

    def __call__(self, apply: Callable, args: dict) -> Tensor:
        x, timestep, given = args["input"], args["timestep"], args["c"]
        side, states = self.side, []
        rows, columns = (slice(side * part.start, side * part.stop) for part in (self.rows, self.columns))

        def run(x: Tensor, text: Tensor, see: Callable[[Tensor], None]) -> Tensor:
            high, wide = x.shape[-2] // side, x.shape[-1] // side
            length = high * wide + -(high * wide) % self.multiple

            def seen(module, inputs, output):
                parts = output if isinstance(output, tuple) else (output.flatten(1, -2)[:, -length:],)
                image = next(part for part in reversed(parts) if part is not None and part.shape[1] == length)
                see(image[:, : high * wide].unflatten(1, (high, wide)))

            hooks = [block.register_forward_hook(seen) for block in self.blocks]
            try:
                return apply(x, timestep, **{**given, "c_crossattn": text})
            finally:
                for hook in hooks:
                    hook.remove()

        own = run(x[..., rows, columns], self.text, lambda image: states.append(image.clone()))
        whole = run(
            x, given["c_crossattn"], lambda image: image[:, self.rows, self.columns].copy_(states.pop(0))
        ).clone()
        whole[..., rows, columns] = own
        return whole
