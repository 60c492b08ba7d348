"""What ComfyUI does not look at: values that come over links pass by a widget's limits, NaN passes by all limits,
and a program that writes prompts may put anything anywhere."""

import functools
import inspect
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import torch
from comfy_api.latest import io


def checked(execute: Callable) -> Callable:
    """For a node's execute: a ValueError that names node and input where a value is none that the input takes."""
    parameters = inspect.signature(execute)

    @functools.wraps(execute)
    def run(cls, *args, **kwargs):
        given = parameters.bind(cls, *args, **kwargs).arguments
        for entry in cls.define_schema().inputs:
            if entry.id not in given or (right := _takes(entry)) is None:
                continue
            value, (fits, what) = given[entry.id], right
            left_out = value is None and parameters.parameters[entry.id].default is None
            if not left_out and not fits(value):
                raise ValueError(f"{cls.NAME}: {entry.id} is {_shown(value)}; it has to be {what}")
        return execute(cls, *args, **kwargs)

    return run


def _takes(entry: io.Input) -> tuple[Callable[[Any], bool], str] | None:
    """Which values an input takes, and how messages say it; None where the node itself looks."""
    if isinstance(entry, io.Int.Input):
        return _number(Integral, "a whole number", entry.min, entry.max)
    if isinstance(entry, io.Float.Input):
        return _number(Real, "a number", entry.min, entry.max)
    if isinstance(entry, io.Combo.Input):
        return lambda value: value in entry.options, f"one of {', '.join(entry.options)}"
    if isinstance(entry, io.Boolean.Input):
        return lambda value: isinstance(value, bool), "true or false"
    if isinstance(entry, io.String.Input):
        return lambda value: isinstance(value, str), "a text"
    return _OBJECTS.get(entry.get_io_type())


def _number(kind: type, name: str, least: float, most: float) -> tuple[Callable[[Any], bool], str]:
    def fits(value: Any) -> bool:
        return isinstance(value, kind) and not isinstance(value, bool) and least <= value <= most

    return fits, f"{name} from {least} to {most}"


def _tensor(value: Any, least: int, channels: int = 0) -> bool:
    return isinstance(value, torch.Tensor) and value.ndim >= least and value.shape[-1] >= channels


_OBJECTS = {
    "MODEL": (lambda value: hasattr(value, "model_options"), "a MODEL; connect a loader's"),
    "CLIP": (lambda value: hasattr(value, "tokenize"), "a CLIP; connect a loader's"),
    "CONDITIONING": (lambda value: isinstance(value, list), "a CONDITIONING; connect CLIP Text Encode"),
    "LATENT": (lambda value: isinstance(value, dict) and "samples" in value, "a LATENT; connect one"),
    "MASK": (lambda value: _tensor(value, 2), "a MASK, [batch, height, width]; connect one"),
    "IMAGE": (lambda value: _tensor(value, 4, 3), "an IMAGE, [batch, height, width, 3]; connect one"),
}


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if not isinstance(value, str | bool | Real):
        return f"of the type {type(value).__name__}"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
