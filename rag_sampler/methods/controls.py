"""ControlNets on a part of a picture: each sees the part of its hint that lies there."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from ..picture import Picture, TokenBox


@dataclass(frozen=True, eq=False)
class Controls:
    """The ControlNets of the whole picture, cut to a box, each once.

    made: the copies, by the id of what they are copies of.
    """

    picture: Picture
    box: TokenBox
    made: dict[int, object] = field(default_factory=dict)

    def of(self, control):
        """A copy of a ControlNet, and of those chained to it, that sees only the box; None of None."""
        if control is None:
            return None
        if id(control) not in self.made:
            self.made[id(control)] = self._copy(control)
        return self.made[id(control)]

    def _copy(self, control):
        copy = control.copy()
        copy.cond_hint_original = self.hint(control.cond_hint_original)
        copy.extra_concat_orig = [self.hint(hint) for hint in control.extra_concat_orig]
        if control.previous_controlnet is not None:
            copy.set_previous_controlnet(self._copy(control.previous_controlnet))
        for device, clone in getattr(control, "multigpu_clones", {}).items():
            copy.multigpu_clones[device] = self._copy(clone)
        return copy

    def hint(self, hint: Tensor | None) -> Tensor | None:
        """The box's part of an image [B, C, h, w], which ComfyUI cuts in its middle to the picture's aspect."""
        if hint is None or hint.shape[-1] == 1:
            return hint
        height, width = self.picture.height, self.picture.width
        seen_height = min(hint.shape[-2], round(hint.shape[-1] * height / width))
        seen_width = min(hint.shape[-1], round(hint.shape[-2] * width / height))
        top, left = round((hint.shape[-2] - seen_height) / 2), round((hint.shape[-1] - seen_width) / 2)
        box, patch = self.box, self.picture.patch
        vertical, horizontal = seen_height * patch / height, seen_width * patch / width
        y0, x0 = top + round(box.y0 * vertical), left + round(box.x0 * horizontal)
        y1, x1 = top + round(box.y1 * vertical), left + round(box.x1 * horizontal)
        return hint[..., y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
