"""Wrong prompts through the live server: each gets its result or an error in words, and the next good one works."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fuzz import Fuzzer
from live_comfyui import Live

from demo.client import PromptError
from demo.workflow import Prompt

SAVED = Path(__file__).resolve().parents[1] / "fixtures" / "workflows"
STEPS = 2
TRACE = "\n  File "


def good_prompts() -> list[Prompt]:
    """The saved prompts of the newest release, which hold every node, at two steps and 128 pixels."""
    newest = max(SAVED.iterdir(), key=lambda folder: [int(part) for part in folder.name.split(".")])
    prompts = [json.loads(path.read_text()) for path in sorted(newest.glob("*.api.json"))]
    small = {"steps": STEPS, "repaint_bind_steps": 1, "width": 128, "height": 128}
    for entry in (entry for prompt in prompts for entry in prompt.values()):
        entry["inputs"] |= {k: v for k, v in small.items() if isinstance(entry["inputs"].get(k), int)}
        if entry["class_type"] == "PrimitiveInt":
            entry["inputs"]["value"] = 128
    return prompts


def fault(answer: str, live: Live) -> str:
    """What is wrong with ComfyUI's answer to a prompt; nothing if it says what to mend, or is not of our making."""
    said, *trace = answer.split(TRACE)
    if (
        not trace
    ):  # refused before anything ran: ComfyUI names node and input, our own checks are in its details
        broken = (
            "Exception when validating node" in said
        )  # so ComfyUI itself calls an output that is not there
        return "a check of ours broke" if broken and "index out of range" not in said else ""
    failed, _, rest = said.partition(" (node ")
    kind, _, message = rest.partition("): ")[2].partition(": ")
    if not failed.startswith("RAG"):
        return "an error of ours in a stock node" if "rag_sampler_pack/" in trace[-1] else ""
    spec = live.server.object_info[failed]
    names = [*(name for group in spec["input"].values() for name in group), "the plan", "the latent"]
    if not re.search(r"(ValueError|LayoutError|PlanError)$", kind):
        return f"a bare {kind}"
    if not message.startswith(f"{spec['display_name']}: "):
        return "the message does not begin with the node"
    return "" if any(name in message for name in names) else "the message names no input"


def attack(live: Live, seeds: range) -> list[str]:
    """Send a wrong prompt for each seed, and a good one after every tenth."""
    prompts, found, ends = good_prompts(), [], {"result": 0, "refused": 0, "failed": 0}
    for seed in seeds:
        prompt, done = Fuzzer(live.server.object_info, seed).mutated(prompts[seed % len(prompts)])
        try:
            live.server.run(prompt)
            ends["result"] += 1
        except PromptError as error:
            ends["failed" if TRACE in str(error) else "refused"] += 1
            if wrong := fault(str(error), live):
                found.append(f"seed {seed}: {done}\n  {wrong}: {str(error)[:1500]}")
        assert live.server.process.poll() is None, (
            f"seed {seed}: {done}: the server died\n{live.server.log()}"
        )
        if seed % 10 == 9:
            good = prompts[seed // 10 % len(prompts)]
            assert [output for output in live.server.run(good) if output.kind == "images"], done
    print(f"{len(seeds)} prompts: {ends}")
    assert min(ends.values()) > 0
    return found


def test_fifty_wrong_prompts(live: Live):
    assert attack(live, range(50)) == []


@pytest.mark.long
def test_five_hundred_wrong_prompts(live: Live):
    found = attack(live, range(50, 550))
    assert found == [], "\n".join(found)
