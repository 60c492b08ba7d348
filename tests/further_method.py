"""A regional method that the pack does not have, to show what one takes: InvokeAI's rule. In every second block a
region's text and tokens read that text, the region's tokens and those of no region, which read the base prompt's
text and the picture; in the others all read all."""

from dataclasses import dataclass

import torch
from rag_pack.rag_sampler.attention.reads import IMAGE, Part, Program, Read, own
from rag_pack.rag_sampler.methods.attention_method import AttentionMethod, OnLive, inside
from rag_pack.rag_sampler.methods.regional_prompting import grouped
from rag_pack.rag_sampler.regions import Region


@dataclass(frozen=True, eq=False)
class Invoked(AttentionMethod):
    regions: tuple[Region, ...]
    start_percent, end_percent = 0.0, 1.0
    node = method = "InvokeAI's rule"

    def guide(self, live, picture, window):
        return LaidOut(self, window, live, inside([one.tokens for one in live], picture))


@dataclass(frozen=True, eq=False)
class LaidOut(OnLive):
    spec: Invoked
    window: object
    live: list
    inside: torch.Tensor
    unread = False

    def forks(self, pasted) -> bool:
        return False

    def program(self, base, texts, references, fork, device, dtype) -> Program:
        picture = self.inside.shape[1]
        none, *groups = grouped(self.inside)
        free = torch.cat((none.tokens, torch.arange(picture, picture + references)))
        apart = [Read((own(0), own(IMAGE, free)), (Part(0), Part(IMAGE)))]
        for group in groups:
            asking = group.members if len(group.members) == 1 else ()
            keys = (*map(Part, group.members), Part(IMAGE, torch.cat((group.seen, free))))
            apart.append(Read((*map(own, asking), own(IMAGE, group.tokens)), keys))
        streams = (*range(len(texts) + 1), IMAGE)
        joint = [Read(tuple(map(own, streams)), tuple(map(Part, streams)))]
        return Program((base, *texts), picture + references, lambda kind, number: (apart, joint)[number % 2])
