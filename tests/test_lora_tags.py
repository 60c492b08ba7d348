"""<lora:name:0.8> in a prompt: what it says, what is left of the prompt, and which installed file it means."""

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rag_pack.rag_sampler.lora_tags import LoraTag, find_name, read_tags
from tiny import REPO


@pytest.mark.parametrize(
    ("text", "left", "tags"),
    [
        ("a cat", "a cat", ()),
        ("", "", ()),
        (" a,  cat ,, ", " a,  cat ,, ", ()),
        ("a cat <lora:x>", "a cat", [("x", 1, 1)]),
        ("<lora:x:0.8>, a cat", "a cat", [("x", 0.8, 0.8)]),
        ("a cat, <lora:x:.8:-0.5>, red", "a cat, red", [("x", 0.8, -0.5)]),
        ("a cat <lora:x:0> on a mat", "a cat on a mat", [("x", 0, 0)]),
        ("a cat<lora:x:1.>on a mat", "a cat on a mat", [("x", 1, 1)]),
        ("a cat, <lora:x> red", "a cat, red", [("x", 1, 1)]),
        ("a cat <lora:x>.", "a cat.", [("x", 1, 1)]),
        ("(a cat <lora:x:0.5>:1.2), red", "(a cat:1.2), red", [("x", 0.5, 0.5)]),
        ("((a cat, <lora:x>), red:1.2)", "((a cat), red:1.2)", [("x", 1, 1)]),
        ("a cat, ((<lora:x:0.5>):1.2), red", "a cat, red", [("x", 0.5, 0.5)]),
        ("[<lora:x>, <lora:y>]", "", [("x", 1, 1), ("y", 1, 1)]),
        ("(a cat:1.2) <lora:x>, <lora:y:2>  red", "(a cat:1.2), red", [("x", 1, 1), ("y", 2, 2)]),
        ("a \\(<lora:x>\\) cat", "a \\(\\) cat", [("x", 1, 1)]),
        ("a cat\n<lora:x>\na dog", "a cat\na dog", [("x", 1, 1)]),
        ("a cat,\r\n<lora:x>", "a cat", [("x", 1, 1)]),
        ("a cat <lora:\nx\n:0.5>", "a cat", [("x", 0.5, 0.5)]),
        ("一只猫，<lora：我的 画风：0.8：0.5>，红色", "一只猫，红色", [("我的 画风", 0.8, 0.5)]),
        ("猫＜LoRA:x:+1＞", "猫", [("x", 1, 1)]),
        ("< Lora : sub\\My style v1.5 : 0.3 > a cat", "a cat", [("sub\\My style v1.5", 0.3, 0.3)]),
        ("a <lorax> <3 lora:x", "a <lorax> <3 lora:x", ()),
    ],
)  # fmt: skip
def test_a_prompt_is_read(text, left, tags):
    assert read_tags(text) == (left, tuple(LoraTag(*tag) for tag in tags))


@pytest.mark.parametrize(
    "tag",
    [
        "<lora:>", "<lora>", "<lora: :0.8>", "<lora:x:>", "<lora:x:high>", "<lora:x:0,8>", "<lora:x:1:2:3>",
        "<lora:x:nan>", "<lora:x:1e3>", "<lora x:0.8>", "<lora=x:0.8>", "<lora:x:te=0.5>", "<lora:x:0.8",
    ],
)  # fmt: skip
def test_another_form_is_an_error_that_shows_the_right_one(tag):
    message = (
        re.escape(tag) + r" is no LoRA's tag; write <lora:name>, <lora:name:0.8>, or <lora:name:0.8:0.5>"
    )
    with pytest.raises(ValueError, match=message):
        read_tags(f"a cat, {tag}")


@pytest.mark.parametrize("tag", ["<lora:x:21>", "<lora:x:1:-20.5>", f"<lora:x:{'9' * 400}>"])
def test_a_strength_out_of_range_is_an_error(tag):
    with pytest.raises(ValueError, match="out of range; it has to lie between -20 and 20"):
        read_tags(tag)


WORDS = st.lists(
    st.sampled_from(["cat", "dog", "red", "(big:1.2)", "[old]", "猫", "a.b", "it's"]), min_size=1, max_size=4
)
NAMES = st.sampled_from(["x", "sub/My style", "v1.5", "画风"])
STRENGTHS = st.floats(-20, 20).map(lambda number: round(number, 3))


@given(st.lists(st.tuples(WORDS, NAMES, STRENGTHS, STRENGTHS), max_size=4), WORDS)
def test_words_between_tags_stay(parts, last):
    """In their order, with single commas between, however many tags stood there."""
    text = "".join(
        f"{' '.join(words)}, <lora:{name}:{one:.3f}:{two:.3f}>, " for words, name, one, two in parts
    )
    left, tags = read_tags(text + " ".join(last))
    assert left == ", ".join(" ".join(words) for words in [*(part[0] for part in parts), last])
    assert tags == tuple(LoraTag(*part[1:]) for part in parts)


SIGNS = [
    "<lora:",
    "<lora:x",
    ":0.5",
    "<",
    ">",
    "lora",
    "：",
    "x",
    "(",
    ")",
    ":1.2",
    ", ",
    "\n",
    "[",
    "]",
    "\\",
    "猫",
]


@given(st.lists(st.sampled_from(SIGNS), max_size=14).map("".join))
def test_whatever_is_written(text):
    """It is an error, or no tag is left in it; what holds none is left as it is."""
    try:
        left, tags = read_tags(text)
    except ValueError as error:
        assert "is no LoRA's tag" in str(error) or "out of range" in str(error)
    else:
        assert read_tags(left) == (left, ())
        assert tags or left == text


FILES = ["Cat.safetensors", "cat.pt", "old/cat.safetensors", "new\\Dog.safetensors", "v1.5.safetensors", "a/b.pt", "b/b.pt"]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cat.pt", "cat.pt"), ("CAT.PT", "cat.pt"), ("cat", "cat.pt"), ("Cat", "Cat.safetensors"),
        ("old/cat", "old/cat.safetensors"), ("old\\cat", "old/cat.safetensors"), ("dog", "new\\Dog.safetensors"),
        ("new/dog.safetensors", "new\\Dog.safetensors"), ("Dog.safetensors", "new\\Dog.safetensors"),
        ("v1.5", "v1.5.safetensors"), ("A/B", "a/b.pt"),
    ],
)  # fmt: skip
def test_the_file_that_a_name_means(name, file):
    assert find_name(name, FILES) == file


@pytest.mark.parametrize(
    ("name", "files", "message"),
    [
        ("b", FILES, "the LoRA 'b' may be a/b.pt, b/b.pt; write which one, with its folder"),
        ("CAT", FILES, "the LoRA 'CAT' may be Cat.safetensors, cat.pt;"),
        ("dogs", FILES, "no LoRA 'dogs' among the 7 that are installed; near it are new\\Dog.safetensors"),
        ("quux", FILES, "no LoRA 'quux' among the 7 that are installed; Load LoRA lists them"),
        ("cat", [], "no LoRA 'cat': none are installed; put its file into models/loras"),
    ],
)
def test_a_name_that_means_none_or_several(name, files, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        find_name(name, files)


def test_it_needs_no_torch():
    code = "import sys; sys.modules['torch'] = None; import rag_sampler.lora_tags"
    subprocess.run([sys.executable, "-c", code], cwd=REPO, check=True)
