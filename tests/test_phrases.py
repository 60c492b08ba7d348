"""The output positive of DenseDiffusion Attention: phrases of a caption with embeddings of their own, as real encoders
make them."""

import re

import encoders
import families
import pytest
import torch
from rag_pack.nodes.dense_diffusion import RAGDenseDiffusion
from rag_pack.rag_sampler.layout import Box
from rag_pack.rag_sampler.methods.phrases import with_phrases
from rag_pack.rag_sampler.regions import Region
from safetensors.torch import save_file
from tiny import basic_guider, run, schedule

import nodes  # ComfyUI's

CHANNELS = {"l": slice(0, 8), "g": slice(8, 24)}
"""Of the tiny SDXL's CLIP."""


@pytest.fixture(scope="module")
def clips():
    with torch.inference_mode():
        return {name: encoders.load(name) for name in ("SD1.5", "SD2", "SDXL")}


@pytest.fixture(params=["SD1.5", "SD2", "SDXL"])
def clip(request, clips):
    return clips[request.param]


def encode(clip, text: str) -> list:
    return nodes.CLIPTextEncode().encode(clip, text)[0]


def regions(*texts: str | None) -> tuple[Region, ...]:
    return tuple(Region(Box(0, 0, 1, 1), [[torch.zeros(1, 1, 1), {}]], text) for text in texts)


def edited(clip, caption: str, *texts: str) -> torch.Tensor:
    ((text, _),) = with_phrases(clip, caption, regions(*texts)).conditioning
    return text


def owners(clip, caption: str, *texts: str) -> list[int]:
    """Of each token behind the start, the phrase that has it; without zeros at the end."""
    owner = [int(number) for number in with_phrases(clip, caption, regions(*texts)).owner]
    while owner and owner[-1] == 0:
        owner.pop()
    return owner[1:]


def test_phrases_stand_in_the_caption_as_if_alone(clip):
    caption, phrases = "two cats: a white cat and a black kitten", ("a black kitten", "a white cat")
    found, plain = edited(clip, caption, *phrases), encode(clip, caption)[0][0]
    expected = plain.clone()
    expected[:, 4:7] = encode(clip, "a white cat")[0][0][:, 1:4]
    expected[:, 8:11] = encode(clip, "a black kitten")[0][0][:, 1:4]
    assert torch.equal(found, expected) and not torch.equal(found, plain)


def test_all_else_is_the_captions_own(clip):
    caption = with_phrases(clip, "a cat on a mat", regions("a mat"))
    ((_, options),), ((_, plain),) = caption.conditioning, encode(clip, "a cat on a mat")
    assert options.keys() == plain.keys()
    assert torch.equal(options["pooled_output"], plain["pooled_output"])


def test_an_empty_caption_is_the_phrases_with_commas_between(clip):
    found = edited(clip, "  ", "a cat", "a blue dog")
    expected = edited(clip, "a cat, a blue dog", "a cat", "a blue dog")
    assert torch.equal(found, expected)


@pytest.mark.parametrize("phrase", ["a cat.", "a cat!", "(a cat:1.3)", "a cat\n", "it's a cat,"])
def test_phrases_of_an_empty_caption_are_found_whatever_their_ends(clips, phrase):
    assert owners(clips["SD1.5"], "", phrase, "a dog")[-2:] == [2, 2]


@pytest.mark.parametrize(
    ("caption", "phrase", "expected"),
    [
        ("A Cat sat", "a cat", [1, 1]),
        ("a cat sat", "A CAT", [1, 1]),
        ("big (a cat:1.2) sat", "a cat", [0, 1, 1]),
        ("a (white (fluffy) cat:0.8) sat", "fluffy cat", [0, 0, 1, 1]),
        ("a white cat sat", "(white:1.4) cat", [0, 1, 1]),
        ("a white\n\ncat sat", "white cat", [0, 1, 1]),
        ("a white cat sat", " white\ncat ", [0, 1, 1]),
        ("a \\(white\\) cat", "\\(white\\)", [0, 1, 1, 1]),
        ("cats, a cat, a cat", "cat", [0, 0, 0, 1]),
        ("a cat and a cat", "a cat", [1, 1]),
        ("an old old stone tower", "old stone", [0, 0, 1, 1]),
        ("a photojournalist", "photojournalist", [0, 1, 1]),
    ],
)
def test_where_a_phrase_is_found(clip, caption, phrase, expected):
    assert owners(clip, caption, phrase) == expected


def test_of_two_that_claim_one_place_the_later_has_it(clip):
    caption = "a white cat and a dog"
    assert owners(clip, caption, "a white cat", "white") == [1, 2, 1]
    assert owners(clip, caption, "white", "a white cat") == [2, 2, 2]
    found = edited(clip, caption, "a white cat", "white")
    assert torch.equal(found[:, 2], encode(clip, "white")[0][0][:, 1])
    assert torch.equal(found[:, 3], encode(clip, "a white cat")[0][0][:, 3])


def test_a_phrase_behind_the_first_77_tokens_and_on_their_border(clip):
    """Chunks have an end and a start of their own, which are nobody's words."""
    caption = "very " * 73 + "big white fluffy cat with a red hat"
    found = with_phrases(clip, caption, regions("white fluffy cat", "red hat"))
    assert [place for place, number in enumerate(found.owner) if number == 1] == [75, 78, 79]
    assert [place for place, number in enumerate(found.owner) if number == 2] == [82, 83]
    own = encode(clip, "white fluffy cat")[0][0]
    assert torch.equal(found.conditioning[0][0][:, [75, 78, 79]], own[:, 1:4])


def with_embedding(clip, folder, **vectors: torch.Tensor):
    """The CLIP with a file of embeddings, "thing"."""
    save_file(vectors, folder / "thing.safetensors")
    tokenizers = [
        getattr(clip.tokenizer, f"clip_{key}") for key in "lgh" if hasattr(clip.tokenizer, f"clip_{key}")
    ]
    for tokenizer in tokenizers:
        tokenizer.embedding_directory = str(folder)
    return clip


def test_an_embedding_in_a_phrase(clips, tmp_path):
    clip = with_embedding(clips["SD1.5"], tmp_path, clip_l=torch.randn(3, families.TEXT))
    assert owners(clip, "a red embedding:thing cat sat", "embedding:thing cat") == [0, 0, 1, 1, 1, 1]
    found = edited(clip, "a red embedding:thing cat sat", "embedding:thing cat")
    assert torch.equal(found[:, 3:7], encode(clip, "embedding:thing cat")[0][0][:, 1:5])


@pytest.mark.parametrize("vectors", [{"l": 1, "g": 3}, {"l": 2, "g": 2}, {"l": 2}], ids=str)
def test_each_encoder_of_sdxl_has_its_own_tokens(clips, tmp_path, vectors):
    """An embedding of more vectors in one than in the other; where it is of another width, ComfyUI leaves it out."""
    widths = {"l": 8, "g": 16}
    files = {f"clip_{key}": torch.randn(count, widths[key]) for key, count in vectors.items()}
    clip = with_embedding(clips["SDXL"], tmp_path, **files)
    found = edited(clip, "a embedding:thing red cat sat", "red cat")
    own, plain = encode(clip, "red cat")[0][0], encode(clip, "a embedding:thing red cat sat")[0][0]
    for key, channels in CHANNELS.items():
        place = 2 + vectors.get(key, 0)
        assert torch.equal(found[:, place : place + 2, channels], own[:, 1:3, channels])
        left = [i for i in range(77) if i not in (place, place + 1)]
        assert torch.equal(found[:, left, channels], plain[:, left, channels])


def refused(clip, caption: str, layout: tuple) -> str:
    model = families.load("SD1.5", None)
    with pytest.raises(ValueError, match="^DenseDiffusion Attention: ") as error:
        RAGDenseDiffusion.execute(model, clip, layout, caption, 1.0, 0.3, 1.0, 0.0, 0.3)
    return str(error.value)


@pytest.mark.parametrize("phrase", ["dog", "a cat sat down", "cats", "white cat and"])
def test_a_phrase_that_is_not_in_the_caption(clips, phrase):
    message = refused(clips["SD1.5"], "a white cat", regions("white", phrase))
    assert f"region 2 of 2 (\"{phrase}\"), '{phrase}', is not in the caption 'a white cat'" in message


@pytest.mark.parametrize("text", [None, "", " \n"])
def test_a_region_without_text(clips, text):
    assert "region 2 of 2 has no text" in re.sub(
        r' \("\s+"\)', "", refused(clips["SD1.5"], "a cat", regions("a cat", text))
    )


@pytest.mark.parametrize(
    ("name", "tokens"),
    [("FLUX.1-dev", "l, t5xxl"), ("Chroma", "t5xxl"), ("Qwen-Image", "qwen25_7b"), ("SD3.5", "t5xxl")],
)
def test_a_clip_of_another_kind(name, tokens):
    message = refused(encoders.load(name), "a cat", regions("a cat"))
    assert "clip is no CLIP of SD1.5, SD2 or SDXL" in message and tokens in message


@pytest.mark.parametrize(("option", "said"), [("control", "a ControlNet"), ("area", "an area")])
def test_what_a_region_cannot_carry(clips, option, said):
    text = encode(clips["SD1.5"], "a cat")[0][0]
    layout = (Region(Box(0, 0, 1, 1), [[text, {option: object()}]], "a cat"),)
    assert f"carries {said}; DenseDiffusion reads a region's text alone" in refused(
        clips["SD1.5"], "", layout
    )


@pytest.mark.parametrize(
    ("caption", "texts", "said"),
    [
        ("a dog and a dog", ("a dog", "a dog"), 'the phrase of region 1 of 2 ("a dog") stands where a later one does'),
        ("(a dog:1.3) ran", ("a dog",), 'the caption weights the phrase of region 1 of 1 ("a dog"), whose own embedding'),
        ("(a dog:1.3) ran", ("(a dog:1.3)",), ""),
        ("a dog and a cat", ("a dog", "a cat"), ""),
    ],
)  # fmt: skip
def test_what_the_user_is_told_of_phrases(clips, caplog, caption, texts, said):
    clip, model = clips["SD1.5"], families.load("SD1.5", None)
    patched, positive = RAGDenseDiffusion.execute(
        model, clip, regions(*texts), caption, 1.0, 0.3, 1.0, 0.0, 0.3
    )
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    run(basic_guider(patched, positive), noise, schedule(model, 1))
    told = [r.getMessage() for r in caplog.records if "phrase of" in r.getMessage()]
    assert len(told) == bool(said) and all(said in message for message in told)
