"""Prompts that are wrong in one or two places, made of good ones."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Mapping
from typing import Any

from live_comfyui import choices, node

from demo.workflow import Input, Prompt, inputs_of

NAN, INFINITY = float("nan"), float("inf")
VALUES = [
    None, True, "", "abc", "0.5", NAN, INFINITY, -INFINITY, -1, 0, 1, 7, -0.5, 1e308, 10**30, -(10**18), 10**400,
    [], {}, ["x"], [[]], ["1", "0"], [None, 0], {"__value__": [1, 0]}, {"__value__": {}}, "𝕏" * 5000, "\x00", "\ud83d",
]  # fmt: skip
"""What the API can be sent in the place of a widget's value; none that asks for minutes of work."""

LINKED = {
    "INT": ("PrimitiveInt", [-1, 0, 7, 100_000, -(10**18), 10**18]),
    "FLOAT": ("PrimitiveFloat", [NAN, INFINITY, -0.5, 7.0, 1e18, -1e18]),
    "STRING": (
        "PrimitiveString",
        [
            "",
            "abc",
            "0.5; x",
            "{",
            "[[1]]",
            '[{"x": 2}]',
            "BREAK " * 100,
            "\x00",
            "‮猫🦊",
            "１，１；",
            "(1:1)",
            '[{"bbox_2d": [0, 0, 500, 1000], "label": "a"}]',
            '[{"bbox": [0, 0, 1, 1]}]',
            '{"elements": [{"desc": "a"}]}',
            '[{"x1": 10, "y1": 10, "x2": 90, "y2": 90, "text": "a"}]',
            '{"regions": [{"prompt": "...", "x": 0}]}',
            "canvas.add_local_description(location='on the left', area='a small square area', description='a')",
            "Final split ratio: 1:1\nRegion 0: a\nRegion 1: b",
        ],
    ),
    "BOOLEAN": ("PrimitiveBoolean", [True, False]),
}
"""Type of a widget: the node that brings a value over a link, past the widget's limits, and values."""

OTHERS = {
    "LATENT": [
        node("EmptyHunyuanLatentVideo", width=128, height=128, length=5, batch_size=1),
        node("EmptyLatentImage", width=128, height=128, batch_size=2),
        node("EmptyLatentAudio", seconds=1.0, batch_size=1),
        node("EmptySD3LatentImage", width=16, height=16, batch_size=1),
    ],
    "MASK": [
        node("SolidMask", value=0.0, width=64, height=64),
        node("SolidMask", value=0.5, width=17, height=300),
        node("SolidMask", value=1.0, width=1, height=1),
    ],
    "IMAGE": [node("EmptyImage", width=1, height=1, batch_size=3, color=0)],
}
"""Type of an input: nodes whose output has this type, and is of an unusual kind."""

DRAWINGS = [
    "{", "[]", "{}", "[1]", "null", '"x"', "NaN", '{"version": 2, "regions": []}', '{"regions": {}}',
    '[{"x": 0, "y": 0, "w": 1}]', '[{"x": 0.5, "y": 0, "w": 0.6, "h": 1}]', '[{"x": "0", "y": 0, "w": 1, "h": 1}]',
    '[{"x": 0, "y": 0, "w": 1e-9, "h": 1}]', '[{"x": 0, "y": 0, "w": 1, "h": 1, "prompt": 7}]',
    '[{"x": 0, "y": 0, "w": 1, "h": 1, "enabled": false}]', '[{"x": 0, "y": 0, "w": 1, "h": 1e400}]', "[" * 5000,
]  # fmt: skip


class Fuzzer:
    """Mutates prompts; the same for the same seed."""

    def __init__(self, object_info: Mapping[str, Any], seed: int) -> None:
        self.info, self.pick = object_info, random.Random(seed)

    def mutated(self, good: Prompt) -> tuple[Prompt, str]:
        """The prompt, and what was done to it."""
        prompt, done = copy.deepcopy(good), []
        for _ in range(self.pick.choice([1, 1, 2])):
            key = self.pick.choice([k for k, n in prompt.items() if n["class_type"].startswith("RAG")])
            inputs = list(inputs_of(self.info[prompt[key]["class_type"]]))
            if not inputs:
                continue
            entry, mutation = self.pick.choice(inputs), self.pick.choice(MUTATIONS)
            mutation(self, prompt, key, entry)
            value = json.dumps(prompt[key]["inputs"].get(entry.name, "nothing"))[:60]
            done.append(f"{prompt[key]['class_type']}.{entry.name} {mutation.__name__}: {value}")
        return prompt, "; ".join(done)

    def wrong_value(self, prompt: Prompt, key: str, entry: Input) -> None:
        prompt[key]["inputs"][entry.name] = self.pick.choice(VALUES)

    def linked_value(self, prompt: Prompt, key: str, entry: Input) -> None:
        """Over a link, where ComfyUI checks the type alone; for other types a link of a wrong one."""
        maker, values = LINKED.get(entry.type) or self.pick.choice(list(LINKED.values()))
        prompt["value"] = node(maker, value=self.pick.choice(values))
        prompt[key]["inputs"][entry.name] = ["value", 0]

    def switched(self, prompt: Prompt, key: str, entry: Input) -> None:
        """Through a node that hands on whatever it is given, so that ComfyUI checks no type."""
        maker, values = self.pick.choice(list(LINKED.values()))
        prompt["value"] = node(maker, value=self.pick.choice(values))
        other = self.pick.choice([*prompt])
        start = self.pick.choice([["value", 0], [other, 0]])
        if any(isinstance(value, list) and value[:1] == [key] for value in prompt[other]["inputs"].values()):
            start = ["value", 0]
        prompt["switch"] = node("ComfySwitchNode", switch=True, on_true=start, on_false=start)
        prompt[key]["inputs"][entry.name] = ["switch", 0]

    def other_kind(self, prompt: Prompt, key: str, entry: Input) -> None:
        """What the type allows and the graph did not have in mind."""
        fitting = [e for e in inputs_of(self.info[prompt[key]["class_type"]]) if e.type in OTHERS]
        if fitting:
            entry = self.pick.choice(fitting)
            prompt["other"] = copy.deepcopy(self.pick.choice(OTHERS[entry.type]))
            prompt[key]["inputs"][entry.name] = ["other", 0]

    def left_out(self, prompt: Prompt, key: str, entry: Input) -> None:
        prompt[key]["inputs"].pop(entry.name, None)

    def other_link(self, prompt: Prompt, key: str, entry: Input) -> None:
        """To any output of any node, or to none; a circle too."""
        other = self.pick.choice([*prompt, key, "nowhere"])
        prompt[key]["inputs"][entry.name] = [other, self.pick.choice([0, 0, 0, 1, 2, 9, -1])]

    def unknown_choice(self, prompt: Prompt, key: str, entry: Input) -> None:
        offered = choices(entry) if entry.type == "COMBO" else []
        prompt[key]["inputs"][entry.name] = self.pick.choice(["none of these", 7, *offered])

    def bad_text(self, prompt: Prompt, key: str, entry: Input) -> None:
        prompt[key]["inputs"][entry.name] = self.pick.choice([*DRAWINGS, *LINKED["STRING"][1]])

    def unknown_input(self, prompt: Prompt, key: str, entry: Input) -> None:
        prompt[key]["inputs"][entry.name + "_"] = self.pick.choice(VALUES)


MUTATIONS = [
    Fuzzer.wrong_value, Fuzzer.wrong_value, Fuzzer.linked_value, Fuzzer.linked_value, Fuzzer.switched, Fuzzer.other_kind,
    Fuzzer.left_out, Fuzzer.other_link, Fuzzer.unknown_choice, Fuzzer.bad_text, Fuzzer.unknown_input,
]  # fmt: skip
