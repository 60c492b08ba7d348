"""The one engine behind all nodes: ComfyUI wrappers that read what to do from the model's options.

A node appends an immutable spec (Binding or Refinement; for Repaint Recorder and Replay) to the tuple
transformer_options["rag"] of a model clone and makes sure that one module-level function per wrapper type is there. Everything that lives for one run
hangs on the guider's own copy of the options and is gone when the run ends, however it ends.

    OUTER_SAMPLE      lays the regions out on the picture and adds their conditioning to the guider's
    PREPARE_SAMPLING  tells the memory estimate about appended texts and kept states
    PREDICT_NOISE     keeps a record of the run, or holds it to a recorded one outside a mask
    CALC_COND_BATCH   runs the bound regions of the step, then the main pass, and replaces predictions
    APPLY_MODEL       appends regional texts and installs attention override and block hooks for one forward
"""

from __future__ import annotations

import logging
from math import ceil

import comfy.samplers
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from . import advice, lora_hooks, networks
from .attention.override import install_override
from .attention.reads import Program
from .binding import ORIGIN, REGION, Binding, in_time
from .networks.states import Forward, Recording
from .picture import check_latent
from .prompts import TEXTS, add_original, add_regions
from .refinement import Refinement
from .regions import owners
from .replay import ORIGINAL, Replay
from .run import Run, Step, lay_out_run, report
from .trajectory import Recorder

KEY = "rag"
"""Where the specs lie in transformer_options, and the name of the wrappers."""

RUN, STEP = "rag_run", "rag_step"
MARK = "rag_hooked"
"""An argument that the network ignores. It keeps torch.compile from taking a graph without our hooks for one with
them: core's TorchCompileModel compares no transformer_options, but it does compare the names of arguments."""


def add_spec(model, spec: Binding | Refinement | Recorder | Replay):
    """A clone of the MODEL that also does what the spec says; raises ValueError where its family cannot."""
    if isinstance(spec, Refinement) and networks.of(model) is None:
        raise ValueError(
            f"this model is of the family {networks.name_of(model)}, for which Soft Refinement has no adapter; "
            f"supported: {'; '.join(family.name for family in networks.FAMILIES)}. Hard Binding works with every image model"
        )
    hooks = lora_hooks.of_spec(spec)
    if hooks and model.is_dynamic():
        model = model.get_non_dynamic_delegate()  # ComfyUI's dynamic weights know no hooks
    patched = model.clone()
    lora_hooks.register(patched, hooks)
    options = patched.model_options["transformer_options"]
    options[KEY] = (*options.get(KEY, ()), spec)
    for kind, wrapper in _WRAPPERS.items():
        patched.remove_wrappers_with_key(kind, KEY)
        patched.add_wrapper_with_key(kind, KEY, wrapper)
    return patched


def plain(model):
    """A clone of the MODEL without any spec; the MODEL itself where it has none."""
    if KEY not in model.model_options["transformer_options"]:
        return model
    stripped = model.clone()
    del stripped.model_options["transformer_options"][KEY]
    for kind in _WRAPPERS:
        stripped.remove_wrappers_with_key(kind, KEY)
    return stripped


def _outer_sample(executor, noise, latent_image, sampler, sigmas, *args, **kwargs):
    guider = executor.class_obj
    options = guider.model_options["transformer_options"]
    model, specs = guider.model_patcher, tuple(spec for spec in options[KEY] if spec.works)
    if not specs:
        for message in dict.fromkeys(advice.on_specs(options[KEY], len(sigmas) - 1)):
            logging.warning("RAG: %s", message)
        return executor(noise, latent_image, sampler, sigmas, *args, **kwargs)
    check_latent(noise, "RAG: the latent")
    sigma_max = float(model.get_model_object("model_sampling").sigma_max)
    continues = float(sigmas[0]) < 0.9999 * sigma_max and not noise.any()
    run = options[RUN] = lay_out_run(model, specs, noise, sigmas, continues)
    told = tuple(spec for spec in options[KEY] if not (continues and isinstance(spec, Binding)))
    useless = advice.on_patches(specs, options.get("patches", {}))
    for message in (*advice.on_specs(told, len(sigmas) - 1), *useless, *run.advice):
        run.warn(message)
    conds = add_regions(model, guider.conds, run, specs)
    run.recorder = next((spec for spec in specs if isinstance(spec, Recorder)), None)
    run.replay = next((spec for spec in specs if isinstance(spec, Replay)), None)
    if run.replay is not None:
        trajectory = run.replay.trajectory
        run.original = lay_out_run(model, trajectory.specs, noise, trajectory.sigmas, continues=False)
        conds = add_original(model, conds, run.original, trajectory)
    guider.conds = conds
    lora_hooks.share(conds)
    lora_hooks.keep_patched_weights(model, conds)
    result = executor(noise, latent_image, sampler, sigmas, *args, **kwargs)
    if not run.reached and len(sigmas) > 1:
        raise RuntimeError(
            "regions were not applied: another node has replaced ComfyUI's batch of conditions "
            "(sampler_calc_cond_batch_function); remove it or put it on a model without regions"
        )
    if run.refining and run.hits == 0:
        raise RuntimeError(_NO_EFFECT)
    logging.info("RAG: %s", report(run, len(sigmas) - 1, networks.name_of(model)))
    return result


def _prepare_sampling(executor, model, noise_shape, conds, *args, **kwargs):
    """Let the memory estimate see appended texts, the second image stream and kept states as more picture."""
    run: Run | None = kwargs["model_options"]["transformer_options"].get(RUN)
    if run is None:
        return executor(model, noise_shape, conds, *args, **kwargs)
    rows = noise_shape[-2] * (1 + run.appended_tokens / run.picture.tokens)
    row_bytes = model.model.memory_required([*noise_shape[:-2], 1, noise_shape[-1]])
    rows += run.feature_bytes(model.model, noise_shape[0]) / row_bytes
    return executor(model, [*noise_shape[:-2], ceil(rows), noise_shape[-1]], conds, *args, **kwargs)


def _predict_noise(executor, x, timestep, model_options, seed):
    run: Run | None = model_options["transformer_options"].get(RUN)
    if run is None:
        return executor(x, timestep, model_options, seed)
    sigma = float(timestep[0])
    recorded = None
    if run.evaluations == 0:
        _prepare_controls(run, executor.class_obj.inner_model)
    if run.replay is not None:
        recorded = run.replay.evaluation(run.evaluations, sigma)
        x = run.replay.mixed(x, recorded.x, run.picture)
    denoised = executor(x, timestep, model_options, seed)
    if recorded is not None:
        denoised = run.replay.mixed(denoised, recorded.denoised, run.picture)
    if run.recorder is not None:
        run.recorder.keep(sigma, x, denoised)
    run.evaluations += 1
    return denoised


def _calc_cond_batch(executor, model, conds, x, timestep, model_options):
    run: Run | None = model_options["transformer_options"].get(RUN)
    if run is None:
        return executor(model, conds, x, timestep, model_options)
    sigma = float(timestep[0])
    surroundings = ()
    if run.replay is not None:
        recorded = run.replay.evaluation(run.evaluations, sigma).x.to(x)
        original = [None if c is None else [e for e in c if ORIGINAL in e] for c in conds]
        conds = [None if c is None else [e for e in c if ORIGINAL not in e] for c in conds]
        unread = _unread(run, sigma, conds) if run.replay.match_surroundings else frozenset(range(len(conds)))
        kept = Recording(run.replay.surroundings, unread, _first(original, sigma))
        _evaluate(run.original, executor, model, original, recorded, timestep, model_options, record=kept)
        surroundings = (kept,)
    run.reached = True
    return _evaluate(run, executor, model, conds, x, timestep, model_options, paste=surroundings)


def _evaluate(run: Run, executor, model, conds, x, timestep, model_options, record=None, paste=()):
    """One evaluation of all branches: bound regions, main pass, predictions replaced.

    record keeps the main pass's image states; paste are states of another run for it.
    """
    sigma = float(timestep[0])
    base = [None if c is None else [e for e in c if REGION not in e] for c in conds]
    marked = [[e for e in c or () if REGION in e] for c in conds]

    def call(step_conds, step: Step):
        options = {
            **model_options,
            "transformer_options": {**model_options["transformer_options"], STEP: step},
        }
        return executor(model, step_conds, x, timestep, options)

    refinement = run.refinement(sigma)
    run.refining = run.refining or (refinement is not None and any(map(_covers, base)))
    unread = _unread(run, sigma, base)
    recordings, predictions, bound = _bind(run, base, marked, x, sigma, unread, call)
    out = list(call(base, Step(run, refinement, record, (*recordings, *paste))))
    for branch, entries in enumerate(base if predictions else ()):
        if entries is not None:
            out[branch] = torch.where(bound, predictions[branch], out[branch])
    return out


def _bind(run: Run, base: list, marked: list, x, sigma: float, unread: frozenset[int], call):
    """The bound regions of one evaluation: their recordings, each branch's predictions, and where these count.

    All regions go to ComfyUI in one batch of conditions, for the part of the picture that is theirs alone. It
    patches the weights once for each group of hooks among them, runs equal crops together where memory allows,
    and shares them among devices (MultiGPU CFG Split).
    """
    regions = [region for region in run.bound if region.works(marked, sigma)]
    owner = owners([region.tokens for region in regions], run.picture)
    conds, parts, recordings = [None if c is None else [] for c in base], {}, []
    for number, region in enumerate(regions, 1):
        if not (owner == number).any():
            continue  # hidden by later ones
        owned = run.picture.spread(owner == number).to(x).expand(1, *x.shape[2:])
        own = region.conditions(base, marked, x, owned)
        recording = Recording(region.tokens, unread, _first(own, sigma)) if region.features else None
        recordings += [recording] if recording else []
        for entries, mine in zip(conds, own, strict=True):
            if mine is not None:
                entries += mine
                parts.update({e["uuid"]: (recording, e.get(ORIGIN, e["uuid"])) for e in mine})
    if not parts:
        return (), None, None
    conds = [None if c is None else lora_hooks.sort(c, base) for c in conds]
    predictions = call(conds, Step(run, parts=parts))
    run.bound_sigmas.add(sigma)
    if any(not recording.states for recording in recordings):
        run.warn("features are not bound: the model's blocks bypass ComfyUI's hooks; latents are bound")
    return recordings, predictions, run.picture.spread(owner > 0).to(x.device)


def _first(conds: list, sigma: float) -> dict[int, object]:
    """The uuid of each branch's first entry in the main pass that is in its time."""
    live = [[entry for entry in entries or () if in_time(entry, sigma)] for entries in conds]
    first = {branch: entries[0] for branch, entries in enumerate(live) if entries}
    return {branch: entry.get(ORIGIN, entry["uuid"]) for branch, entry in first.items()}


def _covers(entries: list | None) -> bool:
    """Whether a branch has the regional texts on an entry for the whole picture."""
    return any(TEXTS in entry["model_conds"] and "area" not in entry for entry in entries or ())


def _unread(run: Run, sigma: float, conds: list) -> frozenset[int]:
    """The branches in whose main pass nothing reads the states of single blocks."""
    refinement = run.refinement(sigma)
    if refinement is None or not refinement.regional_only:
        return frozenset()
    return frozenset(branch for branch, entries in enumerate(conds) if _covers(entries))


def _prepare_controls(run: Run, model) -> None:
    """ComfyUI prepares the ControlNets of entries; the cropped ones of other branches are on none."""
    for region in (*run.bound, *(run.original.bound if run.original else ())):
        comfy.samplers.pre_run_control(model, [{"control": control} for control in region.controls.values()])


def _apply_model(
    executor, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **kwargs
):
    texts = kwargs.pop(TEXTS, None)
    step: Step | None = transformer_options.get(STEP)
    if step is None or step.run.network is None:
        return executor(x, t, c_concat, c_crossattn, control, transformer_options, **kwargs)
    run, options = step.run, transformer_options.copy()
    picture = run.picture.like(x)
    whole = picture == run.picture
    if "uuids" not in options:
        raise RuntimeError(
            "RAG: this forward does not say which conditioning each of its rows belongs to (uuids): another node "
            "replaces ComfyUI's batch of conditions; remove it or put it on a model without regions"
        )
    chunks = zip(options["cond_or_uncond"], options["uuids"], strict=True)
    entries = tuple(step.chunk(branch, entry, picture) for branch, entry in chunks)
    forward = Forward(run.network, picture, entries, step.paste if whole else ())
    text = c_crossattn.shape[1]
    references = run.network.references(kwargs, picture)
    if step.refinement is not None and texts is not None:
        if whole:
            c_crossattn, forward.program = _program(
                step,
                c_crossattn,
                texts,
                references,
                bool(forward.paste),
                executor.class_obj.get_dtype_inference(),
                kwargs,
            )
            if forward.program.fork and control is not None:
                family, blocks = run.network.family, run.network.blocks
                control = family.control_on_fork(control, forward.program.image, blocks[family.fork])
        else:
            run.warn(
                "a base prompt with an area of its own is not refined; regions guide the whole picture only"
            )
    run.count(x.shape[0], text, picture.tokens + references, forward.program, step.parts is not None)
    install_override(options, forward.program)
    run.network.family.install(options, forward)
    out = executor(x, t, c_concat, c_crossattn, control, options, **{MARK: True}, **kwargs)
    if forward.program is not None:
        _check_hits(run, forward.program)
    return out


def _program(
    step: Step, context: Tensor, texts: list[Tensor], references: int, pasted: bool, dtype, conds: dict
):
    """The text of one forward [B, T, C], and the reads of the method that is active."""
    guided, family = step.refinement, step.run.network.family
    texts = texts[guided.first_text : guided.first_text + len(guided.cells)]
    fork = family.fork if guided.forks(pasted) else None
    if fork and (reason := family.one_stream(step.run.network, conds)):
        step.run.warn(
            f"fidelity published needs a second image stream, {reason}; one stream is used, as in shared"
        )
        fork = None
    lengths = tuple(text.shape[1] for text in texts)
    program = guided.program(context.shape[1], lengths, references, fork, context.device, dtype)
    base = [context] if program.texts[0] else []
    return torch.cat([*base, *(text.to(context) for text in texts)], 1), program


def _check_hits(run: Run, program: Program) -> None:
    """Soft Refinement that nothing reads must not pass for one that works."""
    hits, expected = program.hits, run.network.layers
    run.streams = max(run.streams, 2 if program.fork else 1)
    if hits < expected and program.strays:
        raise RuntimeError(_other_lengths(program))
    if hits == 0 and run.hits == 0:
        raise RuntimeError(_NO_EFFECT)
    if hits < expected:
        run.warn(f"only {hits} of {expected} blocks were refined; a cache that skips blocks may be at work")
    run.hits = max(run.hits, hits)


def _other_lengths(program: Program) -> str:
    queries, keys = min(program.strays)
    return (
        f"Soft Refinement could not work: the model's attention was called with {queries} queries and {keys} keys, and "
        f"a text and the picture together have {program.sequence('').tokens} tokens. Another node adds or removes "
        f"tokens inside the model (Flux KV Cache does, or a pack that appends tokens of its own): remove it, or the "
        f"Soft Refinement"
    )


_NO_EFFECT = (
    "Soft Refinement had no effect: the attention of this model does not pass through ComfyUI's attention hook (a "
    "loader such as nunchaku, or a pack that replaces the blocks or adds tokens of its own). Use a stock or GGUF "
    "loader, or remove the Soft Refinement; Hard Binding works either way"
)

_WRAPPERS = {
    WrappersMP.OUTER_SAMPLE: _outer_sample,
    WrappersMP.PREPARE_SAMPLING: _prepare_sampling,
    WrappersMP.PREDICT_NOISE: _predict_noise,
    WrappersMP.CALC_COND_BATCH: _calc_cond_batch,
    WrappersMP.APPLY_MODEL: _apply_model,
}
