"""ComfyUI's wrappers: where the engine sits in a run.

A node appends an immutable spec to the tuple transformer_options["rag"] of a model clone and makes sure that one
module-level function per wrapper type is there. Everything that lives for one run hangs on the guider's own copy of
the options and is gone when the run ends, however it ends.

    OUTER_SAMPLE      makes the plan of the run and adds the regions' conditioning to the guider's
    PREPARE_SAMPLING  tells the memory estimate about appended texts and kept states
    PREDICT_NOISE     keeps a record of the run, or holds it to a recorded one outside a mask
    CALC_COND_BATCH   runs the bound regions of the step, then the main pass, and replaces predictions (evaluation.py)
    APPLY_MODEL       appends regional texts and installs attention override and block hooks (forward.py)
"""

from __future__ import annotations

import logging
from math import ceil

import comfy.samplers
from comfy.patcher_extension import WrappersMP

from ..methods import lora_hooks
from ..methods.spec import Spec
from ..picture import check_latent
from ..schedule import Schedule
from .conditions import add_original, add_regions, base_role
from .evaluation import Run, evaluate_run
from .forward import apply_model, no_effect
from .log import Log
from .plan import Plan, make_plan

KEY = "rag"
"""Where the specs lie in transformer_options, and the name of the wrappers."""

RUN = "rag_run"


def add_spec(model, spec: Spec):
    """A clone of the MODEL that also does what the spec says; raises ValueError where its family cannot."""
    spec.check(model)
    hooks = [*spec.prompt_hooks(), *lora_hooks.left_to_comfyui(model, spec.hooks())]
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


def specs_of(model) -> tuple[Spec, ...]:
    """The specs of a MODEL that change anything."""
    specs = model.model_options["transformer_options"].get(KEY, ())
    return tuple(spec for spec in specs if spec.changes_anything)


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
    guider, log = executor.class_obj, Log()
    options, model = guider.model_options["transformer_options"], guider.model_patcher
    sampling = model.get_model_object("model_sampling")
    specs = tuple(spec for spec in options[KEY] if spec.changes_anything)
    if specs:
        check_latent(noise, "RAG: the latent")
    later = len(sigmas) > 0 and float(sigmas[0]) < 0.9999 * float(sampling.sigma_max)
    fresh, picture = bool(noise.any()), latent_image is not None and bool(latent_image.any())
    unexpected = later and fresh and picture and not any(spec.expects_picture for spec in specs)
    schedule = Schedule(sigmas, sampling, continues=later and not fresh, from_picture=unexpected)
    plan = make_plan(model, specs, noise, schedule) if specs else None
    for spec in options[KEY]:
        for message in spec.advice(schedule, options.get("patches", {})):
            log.warn(message, spec)
    if plan is None:
        log.clear(options[KEY])
        return executor(noise, latent_image, sampler, sigmas, *args, **kwargs)
    for layer in plan.layers:
        for message in layer.advice:
            log.warn(message, layer.spec)
    for message in lora_hooks.advice(plan.loras, plan.family):
        log.warn(message, *specs)
    conds, original = add_regions(model, guider.conds, plan), None
    for spec in specs:
        for message in spec.on_prompt(guider.conds[base_role(guider.conds)]):
            log.warn(message, spec)
    log.clear(options[KEY])
    if plan.replay is not None:
        trajectory = plan.replay.trajectory
        original = make_plan(model, trajectory.specs, noise, Schedule(trajectory.sigmas, sampling))
        conds = add_original(model, conds, original, trajectory)
    options[RUN], guider.conds = Run(plan, log, original), conds
    lora_hooks.share(conds)
    lora_hooks.keep_patched_weights(model, conds)
    result = executor(noise, latent_image, sampler, sigmas, *args, **kwargs)
    if not log.reached and len(sigmas) > 1:
        raise RuntimeError(
            "regions were not applied: another node has replaced ComfyUI's batch of conditions "
            "(sampler_calc_cond_batch_function); remove it or put it on a model without regions"
        )
    for guided in log.guiding:
        if not log.hits[guided]:
            raise no_effect(guided, plan.network)
    logging.info("RAG: %s", log.report(plan))
    return result


def _prepare_sampling(executor, model, noise_shape, conds, *args, **kwargs):
    """Let the memory estimate see appended texts, the second image stream and kept states as more picture."""
    run: Run | None = kwargs["model_options"]["transformer_options"].get(RUN)
    if run is None:
        return executor(model, noise_shape, conds, *args, **kwargs)
    rows = noise_shape[-2] * (1 + run.plan.added_tokens / run.plan.picture.tokens)
    row_bytes = model.model.memory_required([*noise_shape[:-2], 1, noise_shape[-1]])
    itemsize = model.model.get_dtype_inference().itemsize
    rows += (run.plan.state_bytes(noise_shape[0], itemsize) + run.plan.lora_bytes(itemsize)) / row_bytes
    return executor(model, [*noise_shape[:-2], ceil(rows), noise_shape[-1]], conds, *args, **kwargs)


def _predict_noise(executor, x, timestep, model_options, seed):
    run: Run | None = model_options["transformer_options"].get(RUN)
    if run is None:
        return executor(x, timestep, model_options, seed)
    plan, log, sigma = run.plan, run.log, float(timestep[0])
    recorded = None
    if log.evaluations == 0:
        _prepare_controls(run, executor.class_obj.inner_model)
    if plan.replay is not None:
        recorded = plan.replay.evaluation(log.evaluations, sigma)
        x = plan.replay.mixed(x, recorded.x, plan.picture)
    denoised = executor(x, timestep, model_options, seed)
    if recorded is not None:
        denoised = plan.replay.mixed(denoised, recorded.denoised, plan.picture)
    if plan.recorder is not None:
        plan.recorder.keep(sigma, x, denoised)
    log.evaluations += 1
    return denoised


def _prepare_controls(run: Run, model) -> None:
    """ComfyUI prepares the ControlNets of entries; the cropped ones of other branches are on none."""
    plans: tuple[Plan, ...] = (run.plan, run.original) if run.original else (run.plan,)
    for region in (region for plan in plans for region in plan.bound):
        entries = [{"control": control} for control in region.controls.made.values()]
        comfy.samplers.pre_run_control(model, entries)


def _calc_cond_batch(executor, model, conds, x, timestep, model_options):
    run: Run | None = model_options["transformer_options"].get(RUN)
    if run is None:
        return executor(model, conds, x, timestep, model_options)
    return evaluate_run(run, executor, model, conds, x, timestep, model_options)


_WRAPPERS = {
    WrappersMP.OUTER_SAMPLE: _outer_sample,
    WrappersMP.PREPARE_SAMPLING: _prepare_sampling,
    WrappersMP.PREDICT_NOISE: _predict_noise,
    WrappersMP.CALC_COND_BATCH: _calc_cond_batch,
    WrappersMP.APPLY_MODEL: apply_model,
}
