"""What `dev.py bench prompts` takes for right: the drawing of what a prompt describes, and no other."""

from collections import defaultdict
from dataclasses import replace

import pytest

from bench.prompts import Case, cases
from demo.shapes import SHAPES, Item, Scene, draw


def grouped(made: list[Case]) -> dict[str, list[Case]]:
    groups = defaultdict(list)
    for case in made:
        groups[case.group].append(case)
    return groups


@pytest.fixture(scope="module")
def made() -> dict[str, list[Case]]:
    return grouped(cases(40))


def share(chosen: list[Case], change=lambda scene: scene) -> float:
    return sum(case.judge(draw(change(case.scene)), case.scene) for case in chosen) / len(chosen)


def with_first(scene: Scene, **changes) -> Scene:
    return replace(scene, items=(replace(scene.items[0], **changes), *scene.items[1:]))


def another_shape(scene: Scene) -> Scene:
    return with_first(scene, shape=next(shape for shape in SHAPES if shape != scene.items[0].shape))


def swapped(scene: Scene) -> Scene:
    """The two objects, each in the other's place."""
    a, b = scene.items
    a, b = replace(a, x=b.x, y=b.y, radius=b.radius), replace(b, x=a.x, y=a.y, radius=a.radius)
    return replace(scene, items=(a, b) if a.radius > b.radius else (b, a))


def twins(a: Item, b: Item) -> bool:
    return (a.color, a.shape) == (b.color, b.shape)


def test_drawings_of_what_is_asked_for_are_right(made):
    for group, chosen in made.items():
        assert share(chosen) >= 0.95, group


@pytest.mark.parametrize("size", [(384, 256), (256, 384), (512, 512)])
def test_drawings_of_other_sizes_are_right(size):
    for group, chosen in grouped(cases(20, *size)).items():
        assert {(case.scene.width, case.scene.height) for case in chosen} == {size}
        assert share(chosen) >= 0.95, group


def test_another_shape_is_wrong(made):
    for group in ("one object", "relation: left of", "relation: above", "relation: inside"):
        assert share(made[group], another_shape) == 0, group


def test_a_relation_the_other_way_round_is_wrong(made):
    for name in ("left of", "above", "inside"):
        different = [case for case in made[f"relation: {name}"] if not twins(*case.scene.items)]
        assert share(different, swapped) == 0, name


def test_of_many_objects_each_counts(made):
    chosen = made["5 objects, with places"]
    assert share(chosen, lambda scene: replace(scene, items=scene.items[:3])) == pytest.approx(0.6)
