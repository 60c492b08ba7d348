"""What a region of Region Canvas has beside its box and prompt: a strength, LoRAs, a polygon; and what is handed on of it
beside the regions."""

import folder_paths
import pytest
import torch
from comfy_extras.nodes_hooks import ConditioningSetProperties, CreateHookLora
from rag_pack.nodes.canvas import RAGRegionCanvas
from rag_pack.nodes.patches import RAGHardBinding
from rag_pack.rag_sampler.methods.advice import on_tokens
from rag_pack.rag_sampler.methods.lora_hooks import name_of
from rag_pack.rag_sampler.picture import Picture
from rag_pack.rag_sampler.regions import Region, bound_tokens, owners
from safetensors.torch import save_file
from test_canvas import HALF, boxes, drawing, run, told
from test_nodes import said
from test_page import Clip
from tiny import conditioning, noise_for, sample, schedule


def test_strength_is_the_regions():
    output = run(drawing(HALF | {"strength": 0.25}, HALF))
    assert [region.strength for region in output[0]] == [0.25, 1.0]


def test_a_cut_region_is_told_at_the_editor():
    output = run(drawing(HALF, HALF | {"x": 0.75}))
    assert boxes(output) == [(0, 0, 8, 16), (12, 0, 16, 16)]
    assert told(output)["notes"] == ["regions: region 2 leaves the picture and is cut at its border"]


def test_size_and_elements_are_handed_on():
    quarter = {"x": 0.125, "y": 0, "w": 0.25, "h": 0.5, "prompt": "a fox", "color": "#102030"}
    output = run(drawing(quarter, HALF | {"enabled": False}), size=(512, 256), style="oil")
    assert output.args[2:4] == (512, 256)
    assert output[4] == [{"type": "obj", "bbox": [0, 125, 500, 375], "desc": "a fox, oil"}]
    again = run(bboxes=output[4])
    assert said(again[0]) == ["a fox, oil"] and boxes(again) == [(2, 0, 6, 8)]


def test_cores_nodes_take_the_elements():
    """Its boxes in pixels are ours, and its builder of prompts has each region."""
    create = pytest.importorskip("comfy_extras.nodes_bounding_boxes")
    prompts = pytest.importorskip("comfy_extras.nodes_json_prompt")
    output = run(drawing(HALF | {"prompt": "a fox"}, {"x": 0.5, "y": 0.25, "w": 0.5, "h": 0.75}))
    _, frame, same = create.CreateBoundingBoxes.execute(256, 256, bboxes=output[4]).args
    assert same == output[4]
    found = [[box[side] for side in ("x", "y", "width", "height")] for box in frame[0]]
    assert found == [[0, 0, 128, 256], [128, 64, 128, 192]]
    schema = create.CreateBoundingBoxes.define_schema()
    ours = RAGRegionCanvas.define_schema().outputs[4]
    assert ours.get_io_type() == schema.outputs[2].get_io_type()
    built = prompts.BuildJsonPromptIdeogram.execute(output[4], {"style": "none"})[0]
    assert built["compositional_deconstruction"]["elements"] == output[4]


# --- polygons ---

TRIANGLE = {"x": 0, "y": 0, "w": 1, "h": 1, "points": [[0, 0], [1, 0], [0, 1]], "prompt": "a fox"}
STAR = [[0.5, 0], [0.8, 1], [0, 0.4], [1, 0.4], [0.2, 1]]


def tokens_of(region: Region, size: int = 256) -> torch.Tensor:
    """Which tokens of a picture are the region's own."""
    picture = Picture.of_pixels(size, size)
    return owners(bound_tokens((region,), picture), picture) > 0


def test_a_polygon_has_the_tokens_that_are_more_than_half_in_it():
    """Those on the diagonal are half in it."""
    (region,) = run(drawing(TRIANGLE))[0]
    place = torch.arange(16)
    assert torch.equal(tokens_of(region), place[:, None] + place < 15)


def test_a_polygon_along_the_tokens_is_the_box():
    corners = [[0.25, 0.125], [0.75, 0.125], [0.75, 0.5], [0.25, 0.5]]
    box = {"x": 0.25, "y": 0.125, "w": 0.5, "h": 0.375}
    drawn, plain = run(drawing(box | {"points": corners}, box))[0]
    assert torch.equal(tokens_of(drawn), tokens_of(plain))
    pixels = drawn.shape.pixels
    assert pixels[32:128, 64:192].all() and pixels.sum() == 96 * 128


def test_what_a_line_goes_round_twice_is_out():
    """The middle of a star that is drawn in one stroke."""
    (region,) = run(drawing({"x": 0, "y": 0, "w": 1, "h": 1, "points": STAR}), size=(512, 512))[0]
    pixels = region.shape.pixels
    assert not pixels[256 + 20, 256] and pixels[60, 256] and pixels[230, 40] and not pixels[20, 20]


def test_a_polygon_under_one_token_is_named():
    sliver = TRIANGLE | {"points": [[0, 0], [1, 0], [1, 0.01]]}
    with pytest.raises(
        ValueError, match=r'^Region Canvas: the mask of region 1 of 1 \("a fox"\) covers no token'
    ):
        run(drawing(sliver))


def test_the_preview_shows_a_polygon_and_not_its_box():
    picture = run(drawing(TRIANGLE | {"color": "#ff0000", "prompt": ""}))[1][0]
    assert picture[100, 60, 0] - picture[100, 60, 1] > 0.2
    assert torch.equal(picture[200, 200], torch.full((3,), picture[200, 200, 0].item()))


def test_a_polygon_is_told_of_another_size_once():
    """By what the layout was drawn for, and not as a mask, too."""
    regions = run(drawing(TRIANGLE), size=(512, 256))[0]
    picture = Picture.of_pixels(256, 256)
    (message,) = on_tokens(regions, bound_tokens(regions, picture), picture)
    assert "drawn for 512 × 256 and this picture is 256 × 256" in message


# --- LoRAs ---


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[str, str]:
    """Two LoRAs of the small network, one of them in a folder."""
    folder, names = (
        tmp_path_factory.mktemp("loras"),
        ("rag_canvas_fox.safetensors", "rag canvas/bear.safetensors"),
    )
    (folder / "rag canvas").mkdir()
    for seed, name in enumerate(names):
        generator = torch.Generator().manual_seed(seed)
        key = "transformer.single_transformer_blocks.1.attn.to_q"
        weights = {
            f"{key}.lora_B.weight": 0.5 * torch.randn(64, 2, generator=generator),
            f"{key}.lora_A.weight": torch.randn(2, 64, generator=generator),
        }
        save_file(weights, folder / name)
    folder_paths.add_model_folder_path("loras", str(folder))
    return names


def wearing(*loras: tuple[str, float]) -> dict:
    return HALF | {
        "prompt": "a fox",
        "loras": [{"name": name, "strength": strength} for name, strength in loras],
    }


def hooks(region: Region) -> list:
    found = region.conditioning[0][1].get("hooks")
    return [] if found is None else found.hooks


def test_loras_are_worn_in_their_order_and_at_strength_0_none_is(files):
    fox, bear = files
    first, second, third = run(
        drawing(wearing((fox, 0.5), (bear, -1)), wearing((fox, 0)), wearing((fox, 0.5)))
    )[0]
    assert [(name_of(hook), hook.strength_model, hook.strength_clip) for hook in hooks(first)] == [
        (f' "{fox}"', 0.5, 0.0),
        (f' "{bear}"', -1.0, 0.0),
    ]
    assert hooks(second) == []
    assert hooks(third)[0].hook_ref is hooks(first)[0].hook_ref  # one for ComfyUI to keep


def test_a_region_that_wears_one_is_painted_as_with_comfyuis_own_nodes(model, texts, files):
    def sampled(regions):
        bound = RAGHardBinding.execute(model, regions, 2, True)[0]
        return sample(bound, conditioning(texts, "G0"), noise_for(32, 32), schedule(model, 4))

    def drawn(*loras):
        return RAGRegionCanvas.execute(256, 256, Clip(texts), regions=drawing(wearing(*loras)))[0]

    (plain,) = drawn()
    made = CreateHookLora().create_hook(files[0], 0.8, 0.0)[0]
    hooked = ConditioningSetProperties().set_properties(plain.conditioning, 1.0, "default", hooks=made)[0]
    ours = sampled(drawn((files[0], 0.8)))
    assert torch.equal(ours, sampled((Region(plain.shape, hooked),)))
    assert not torch.equal(ours, sampled((plain,)))


def test_a_file_of_another_systems_slashes_is_found(files):
    (region,) = run(drawing(wearing((files[1].replace("/", "\\"), 1))))[0]
    assert name_of(hooks(region)[0]) == f' "{files[1]}"'


def test_a_file_that_is_not_there_is_named_with_near_ones(files):
    with pytest.raises(ValueError) as error:
        run(drawing(HALF, wearing(("rag_canvas_fix.safetensors", 0))))
    assert str(error.value).startswith(
        "Region Canvas: region 2 of 2 (\"a fox\"): loras: there is no LoRA 'rag_canvas_fix.safetensors' among the "
    )
    assert f"near it are {files[0]}" in str(error.value)
