"""One forward of the network: regional texts appended, attention read by the active method, states shown to hooks."""

from __future__ import annotations

import torch
from torch import Tensor

from ..attention.override import install_override
from ..attention.reads import Program
from ..loras.places import OfForwards, OfTexts
from ..loras.wearing import PerToken, Wearing
from ..methods.spec import Guided
from ..networks.network import CROSS, Network
from ..networks.states import Forward
from ..picture import Picture
from . import foreign
from .conditions import TEXTS
from .cost import plain_cost, program_cost
from .evaluation import STEP, Step

MARK = "rag_hooked"
"""An argument that the network ignores. It keeps torch.compile from taking a graph without our hooks for one with
them: core's TorchCompileModel compares no transformer_options, but it does compare the names of arguments."""


def apply_model(
    executor, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **kwargs
):
    """ComfyUI's APPLY_MODEL."""
    texts = kwargs.pop(TEXTS, None)
    step: Step | None = transformer_options.get(STEP)
    module = executor.class_obj.diffusion_model
    if step is None or step.plan.network is None:
        with foreign.named(module):
            return executor(x, t, c_concat, c_crossattn, control, transformer_options, **kwargs)
    plan, options, network = step.plan, transformer_options.copy(), step.plan.network
    picture = plan.picture.like(x)
    whole = picture == plan.picture
    forward = Forward(network, picture)
    if network.binds_states:
        forward.entries, forward.paste = _chunks(step, options, picture), step.paste if whole else ()
    text, references = network.text_length(c_crossattn), network.references(kwargs, picture)
    if step.guided is not None and texts is not None and whole:
        texts = [text.to(c_crossattn) for text in plan.texts_of(step.guided, texts)]
        lengths = (text, *map(network.text_length, texts))
        queries = x.device, executor.class_obj.get_dtype_inference()
        if network.family.kind == CROSS:
            timestep = float(executor.class_obj.model_sampling.timestep(t)[0])
            program = step.guided.on_levels(picture, lengths, timestep, *queries)
        else:
            fork = _fork(step, bool(forward.paste), kwargs)
            program = step.guided.program(text, lengths[1:], references, fork, *queries)
        forward.texts = _with_base(program, c_crossattn, texts)
        masks = _with_base(program, kwargs.get("attention_mask"), step.guided.text_masks)
        kwargs = network.family.masked(kwargs, forward.texts, masks)
        c_crossattn = _context(program, [network.padded(text) for text in forward.texts])
        if program.fork and program.control_on_fork and control is not None:
            control = network.family.control_on_fork(control, program.image, network.blocks[program.fork])
        forward.program = program
    elif not whole and step.is_cut(options["uuids"]):
        _tell_of_tiles(step, picture)
    elif step.guided is not None and texts is not None:
        step.log.warn(
            f"a base prompt with an area of its own is not guided by {step.guided.spec.method}; regions guide the "
            f"whole picture only",
            step.guided.spec,
        )
    _count(step, x.shape[0], text, picture.length + references, forward.program)
    install_override(options, forward.program)
    if network.binds_states:
        network.family.install(options, forward)
    wearing = _wearing(step, options, forward, kwargs, x)
    with foreign.named(module), wearing.on(module):
        out = executor(x, t, c_concat, c_crossattn, control, options, **{MARK: True}, **kwargs)
    step.log.wore(wearing, *step.specs)
    if forward.program is not None:
        _check_hits(step, forward.program)
    return out


def _wearing(step: Step, options: dict, forward: Forward, conds: dict, x: Tensor) -> Wearing:
    """The LoRAs of a forward: of regions' own runs, or of the texts of a program and their regions."""
    loras, program, network = step.plan.loras, forward.program, forward.network
    if step.parts is not None:
        worn = [step.parts[uuid].loras if uuid in step.parts else () for uuid in options["uuids"]]
        wearers = tuple(dict.fromkeys(filter(None, worn)))
        numbers = [wearers.index(group) if group else None for group in worn]
        return Wearing(loras, wearers, OfForwards(len(wearers), numbers), len(x))
    groups = {} if program is None else dict(enumerate(map(loras.group, step.guided.hooks), 1))
    wearers = {region: group for region, group in groups.items() if group}
    places = OfTexts(forward, tuple(wearers), step.guided)
    rows = PerToken.on(forward.picture) if network.family.grid else None
    return Wearing(loras, tuple(wearers.values()), places, len(x), network.at_timestep_zero(conds), rows)


def _with_base(program: Program, base, own) -> tuple:
    """What belongs to each text of a program; base: what belongs to the base prompt's, own: to those of the regions."""
    return (*[base] * (program.texts[0] > 0), *own, *[base] * program.copies)


def _chunks(step: Step, options: dict, picture) -> tuple:
    """What the hooks have to know of each chunk of the batch."""
    if "uuids" not in options:
        raise RuntimeError(
            "RAG: this forward does not say which conditioning each of its rows belongs to (uuids): another node "
            "replaces ComfyUI's batch of conditions; remove it or put it on a model without regions"
        )
    chunks = zip(options["cond_or_uncond"], options["uuids"], strict=True)
    return tuple(step.chunk(branch, entry, picture) for branch, entry in chunks)


def _context(program: Program, texts: list[Tensor]) -> Tensor:
    """All texts of a program's sequence, one behind the other, and its padding [B, text, C]: the last token again, which
    does least harm where a node's own attention reads it."""
    context = torch.cat(texts, 1)
    return torch.cat((context, context[:, -1:].expand(-1, sum(program.texts) - context.shape[1], -1)), 1)


def _fork(step: Step, pasted: bool, conds: dict) -> str | None:
    """The kind of block that carries a second image stream in this forward."""
    family = step.plan.network.family
    if family.fork is None or not step.guided.forks(pasted):
        return None
    if reason := family.one_stream(step.plan.network, conds):
        step.log.warn(
            f"{step.guided.spec.method} wants a second image stream, {reason}; one stream is used, as in fidelity "
            f"shared",
            step.guided.spec,
        )
        return None
    return family.fork


def _count(step: Step, batch: int, text: int, image: int, program: Program | None) -> None:
    """Add a forward to the cost; text and image: its tokens without those of an attention method. That of levels is not
    counted."""
    if step.plan.network.family.kind == CROSS:
        return
    plain = batch * plain_cost(step.plan.network, text, image)
    step.log.cost += plain if program is None else batch * program_cost(step.plan.network, program)
    if step.is_main:
        step.log.plain_cost += plain


def _tell_of_tiles(step: Step, tile: Picture) -> None:
    """The whole picture comes in tiles, which another node cuts: no method can guide it, and no states be pasted."""
    tile, whole = tile.in_pixels, step.plan.picture.in_pixels
    cut = (
        f"another node hands the picture to the model in tiles ({tile.width} × {tile.height} of {whole.width} × "
        f"{whole.height}), as tiled diffusion does"
    )
    if step.guided is not None:
        raise RuntimeError(
            f"{step.guided.spec.method} could not work: {cut}. Make its tiles as large as the picture, or give it the "
            f"MODEL from before {step.guided.spec.node}"
        )
    if step.paste and step.plan.network.binds_states:
        step.log.warn(f"features are not bound: {cut}; latents are", *step.plan.binding)


def _check_hits(step: Step, program: Program) -> None:
    """A method whose reads nothing computes must not pass for one that works."""
    guided, log, expected = step.guided, step.log, step.plan.network.layers
    log.streams[guided] = max(log.streams[guided], 2 if program.fork else 1)
    if program.hits < expected and program.strays:
        (queries, keys), right = min(program.strays)
        raise RuntimeError(
            f"{guided.spec.method} could not work: the model's attention was called with {queries} queries and {keys} "
            f"keys, where the texts and the picture make {right[0]} and {right[1]}. Another node adds or removes "
            f"tokens inside the model (Flux KV Cache does, or a pack that appends tokens of its own): remove it, or "
            f"the {guided.spec.method}"
        )
    if program.hits == 0 and log.hits[guided] == 0:
        raise no_effect(guided, step.plan.network)
    if 0 < program.hits < expected:  # none at all: a cache has left out the whole forward
        log.warn(
            f"only {program.hits} of {expected} blocks were guided by {guided.spec.method}; a cache or a "
            f"guidance that skips blocks may be at work, or a node with attention of its own, as some IP-Adapters have",
            guided.spec,
        )
    for lacks in program.lacks(expected):
        log.warn(f"{guided.spec.method} {lacks}", guided.spec)
    log.hits[guided] = max(log.hits[guided], program.hits)


def no_effect(guided: Guided, network: Network) -> RuntimeError:
    """The error of a method of which no attention call was seen."""
    pack = foreign.pack_of(network.module)
    cause, remedy = (
        "a loader such as nunchaku, or a pack that replaces the blocks",
        "Use a stock or GGUF loader",
    )
    if network.family.kind == CROSS:
        cause, remedy = "a node that replaces cross-attention, as some IP-Adapters do", "Remove it"
    if pack:
        cause, remedy = f"it does not run ComfyUI's forward but one of {pack}", foreign.REMEDY
    return RuntimeError(
        f"{guided.spec.method} had no effect: the attention of this model does not pass through ComfyUI's attention "
        f"hook ({cause}). {remedy}, or remove the {guided.spec.method}; Hard Binding works either way"
    )
