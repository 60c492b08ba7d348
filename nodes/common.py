"""What the nodes share: their category, the type of regions, and errors that name the node."""

from collections.abc import Iterator
from contextlib import contextmanager

from comfy.hooks import HookGroup, set_hooks_for_conditioning
from comfy_api.latest import io

from ..rag_sampler.lora_tags import read_tags
from ..rag_sampler.loras.files import hook_of_tag, worn_by
from ..rag_sampler.regions import Region

CATEGORY = "sampling/regional (RAG)"

SEARCH = [
    "RAG",
    "regional prompt",
    "regional prompting",
    "region",
    "area prompt",
    "area conditioning",
    "attention couple",
    "layout",
]

Regions = io.Custom("RAG_REGIONS")


def regions_output(tooltip: str = "The regions so far, this node's last.") -> io.Output:
    return Regions.Output(display_name="regions", tooltip=tooltip)


def append_input() -> io.Input:
    return Regions.Input(
        "regions",
        optional=True,
        tooltip="Regions to add this one to. Where regions overlap, the later one wins.",
    )


def clip_input() -> io.Input:
    return io.Clip.Input("clip", optional=True, tooltip="Encodes the text, as CLIP Text Encode does.")


def text_input() -> io.Input:
    return io.String.Input(
        "text",
        default="",
        multiline=True,
        dynamic_prompts=True,
        optional=True,
        tooltip="What this region shows. Needs clip; leave empty when a conditioning is connected.",
    )


def conditioning_input() -> io.Input:
    return io.Conditioning.Input(
        "conditioning",
        optional=True,
        tooltip="In place of clip and text: any conditioning, such as Redux. Soft Refinement reads its text alone.",
    )


def style_input() -> io.Input:
    return io.String.Input(
        "style",
        default="",
        optional=True,
        tooltip='Added to every prompt, for example "oil painting, warm light".',
    )


def with_style(prompt: str, style: str) -> str:
    """The prompt with the style behind it."""
    return ", ".join(part for part in (prompt, style.strip()) if part)


def size_inputs() -> list[io.Input]:
    """Width and height of the picture in pixels."""
    return [
        io.Int.Input(
            name,
            default=1024,
            min=16,
            max=16384,
            step=16,
            tooltip=f"{name.capitalize()} of the picture in pixels.",
        )
        for name in ("width", "height")
    ]


@contextmanager
def named(node: str) -> Iterator[None]:
    """Put the node's name before the message of an error that it raises."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{node}: {error}") from error


def encode(clip, text: str) -> tuple[list, str]:
    """The CONDITIONING of a text, exactly as CLIP Text Encode makes it, with the LoRAs of its tags; and the text without
    them."""
    if broken := [sign for sign in text if "\ud800" <= sign <= "\udfff"]:
        raise ValueError(
            f"a prompt, text or style holds half of a character, {broken[0]!a}, which no text encoder reads; "
            f"type it anew: {text!a}"
        )
    text, tags = read_tags(text)
    hooks = HookGroup.combine_all_hooks([hook_of_tag(tag) for tag in tags])
    clip = worn_by(clip, hooks)
    return set_hooks_for_conditioning(clip.encode_from_tokens_scheduled(clip.tokenize(text)), hooks), text


def source(clip, text: str, conditioning: list | None) -> tuple[list, str | None]:
    """The conditioning of a region and its text, from clip and text or from a conditioning."""
    if conditioning is not None and (clip is not None or text.strip()):
        what = "clip" if clip is not None else "text"
        raise ValueError(f"conditioning and {what} are both given; use clip with text, or conditioning alone")
    if conditioning is not None:
        if not conditioning:
            raise ValueError("conditioning is connected but empty; connect one with at least one entry")
        return conditioning, None
    if clip is None and text.strip():
        raise ValueError("text is given without clip; connect the CLIP that encodes the base prompt")
    if clip is None:
        raise ValueError("the region has no prompt; connect clip and write a text, or connect a conditioning")
    return encode(clip, text)


def check_index(index: int, regions: tuple[Region, ...], field: str) -> int:
    """The number of a region, from 1, or 0 for all of them."""
    if not 0 <= index <= len(regions):
        raise ValueError(
            f"{field} is {index} and the layout holds {len(regions)} regions; write 1 to {len(regions)}, or 0 for all "
            f"of them"
        )
    return index


def check_regions(regions, field: str = "regions") -> tuple[Region, ...]:
    """The regions of an input, which may not be empty."""
    if not isinstance(regions, tuple) or not all(isinstance(region, Region) for region in regions):
        raise ValueError(f"{field} is no RAG_REGIONS but {type(regions).__name__}; connect a region node")
    if not regions:
        raise ValueError(f"{field} is connected but holds no region; connect at least one region node")
    return regions
