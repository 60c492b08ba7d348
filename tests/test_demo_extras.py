"""What the demo model's LoRA and ControlNet do to its pictures, beside regions."""

import comfy.hooks
import comfy.sd
import comfy.utils
import numpy as np
import pytest
from comfy_extras.nodes_hooks import CreateHookLora
from rag_pack.nodes.patches import RAGHardBinding, RAGSoftRefinementAttention
from rag_pack.nodes.regions import RAGRegionBox

from bench.demo import Demo
from demo.checker import cut, find
from demo.shapes import Item, Scene, Sheet, draw
from demo.train_controlnet import FILE as CONTROLNET
from demo.train_lora import FILE as LORA

HALVES = ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 0.5, 1.0))
BOXES = ((0.03125, 0.25, 0.4375, 0.4375), (0.53125, 0.25, 0.4375, 0.4375))


@pytest.fixture(scope="module")
def demo() -> Demo:
    return Demo()


def with_regions(demo: Demo, boxes: tuple, texts: list[str], bind_steps: int):
    """The MODEL with these regions bound, and refined in the halves where texts are plain."""
    model = RAGHardBinding.execute(demo.model, boxes, bind_steps, True)[0]
    cells = demo.regions(HALVES, texts)
    return RAGSoftRefinementAttention.execute(model, cells, 1.0, 0.0, 1.0, "published")[0]


def test_the_lora_draws_stripes_that_nobody_asked_for(demo):
    """On most objects: at strength 1 it leaves some plain (demo/README.md)."""
    lora = comfy.utils.load_torch_file(str(LORA))
    changed, _ = comfy.sd.load_lora_for_models(demo.model, None, lora, 1.0, 0.0)
    prompts = (
        "a blue square on a white background",
        "a red heart on a white background",
        "a purple star on white",
        "a yellow cross on a blue background",
    )

    def striped(model) -> float:
        pictures = [
            demo.decode(demo.sample(model, demo.encode(text), seed, 128, 128))
            for text in prompts
            for seed in (7, 8)
        ]
        return np.mean([found is not None and found.striped for found in map(find, pictures)])

    assert striped(demo.model) == 0
    assert striped(changed) >= 0.75


def test_a_regions_lora_stripes_that_region_alone(demo):
    texts = ["an orange star on a white background", "a green triangle on a white background"]
    base = demo.encode("an orange star on the left and a green triangle on the right on a white background")
    hooks = CreateHookLora().create_hook(LORA.name, 1.0, 0.0)[0]
    prompts = [comfy.hooks.set_hooks_for_conditioning(demo.encode(texts[0]), hooks), demo.encode(texts[1])]
    boxes = None
    for box, prompt in zip(BOXES, prompts, strict=True):
        boxes = RAGRegionBox.execute(*box, conditioning=prompt, regions=boxes)[0]
    picture = demo.decode(demo.sample(with_regions(demo, boxes, texts, 20), base, 3, 256, 256))
    left, right = (find(cut(picture, half)) for half in HALVES)
    assert (left.color, left.striped) == ("orange", True)
    assert (right.color, right.striped) == ("green", False)


def test_regions_follow_an_edge_map_and_keep_their_colours(demo):
    items = (Item("red", "star", 64, 128, 52), Item("red", "heart", 192, 128, 52))
    outlined = Scene(256, 256, "white", items)
    hint = Sheet.of([outlined]).edges().permute(0, 2, 3, 1)
    texts = ["an orange star on a white background", "a cyan heart on a white background"]
    base = demo.encode("an orange star on the left and a cyan heart on the right on a white background")
    control = demo.nodes.ControlNetLoader().load_controlnet(CONTROLNET.name)[0]
    controlled, _ = demo.nodes.ControlNetApplyAdvanced().apply_controlnet(
        base, demo.encode(""), control, hint, 1.0, 0.0, 1.0
    )
    model = with_regions(demo, demo.regions(BOXES, texts), texts, 4)
    wanted = differs_from_ground(draw(outlined))

    def overlap(picture: np.ndarray) -> float:
        seen = differs_from_ground(picture)
        return (seen & wanted).sum() / (seen | wanted).sum()

    free, followed = (demo.decode(demo.sample(model, prompt, 3, 256, 256)) for prompt in (base, controlled))
    assert overlap(followed) > max(0.8, overlap(free) + 0.1)
    assert [find(cut(followed, half)).color for half in HALVES] == ["orange", "cyan"]


def differs_from_ground(picture: np.ndarray) -> np.ndarray:
    return np.linalg.norm(picture.astype(np.float32) - picture[1, 1], axis=-1) > 45
