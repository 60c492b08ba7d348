"""ControlNets on a part of a picture: each sees the part of its hint that lies there."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field

from torch import Tensor
from torch.nn.functional import interpolate

from ..picture import Picture, TokenBox

MASKS = ("mask_cond_hint_original", "mask_hint_orig", "weight_mask")
"""Where Advanced ControlNet keeps masks of its own: on a ControlNet, on a keyframe by time, and on weights."""

BEARERS = ("timestep_keyframes", "keyframes", "control_weights", "weights_override", "weights_default")
"""Where what bears such masks hangs."""


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
        cut = self._cut_masks(control.copy())
        cut.cond_hint_original = self.hint(control.cond_hint_original)
        cut.extra_concat_orig = [self.hint(hint) for hint in control.extra_concat_orig]
        if control.previous_controlnet is not None:
            cut.set_previous_controlnet(self._copy(control.previous_controlnet))
        for device, clone in getattr(control, "multigpu_clones", {}).items():
            cut.multigpu_clones[device] = self._copy(clone)
        return cut

    def _cut_masks(self, bearer):
        """What bears masks of its own with the box's part of them; what it shares with others is copied first."""
        for name in MASKS:
            if getattr(bearer, name, None) is not None:
                setattr(bearer, name, self.mask(getattr(bearer, name)))
        for name in BEARERS:
            borne = getattr(bearer, name, None)
            if isinstance(borne, list):
                setattr(bearer, name, [self._cut_masks(copy(one)) for one in borne])
            elif borne is not None:
                setattr(bearer, name, self._cut_masks(copy(borne)))
        return bearer

    def mask(self, mask: Tensor) -> Tensor:
        """The box's part of a mask [..., h, w] of any size, which is stretched over the picture."""
        whole = self.picture.in_pixels
        flat = mask.reshape(-1, 1, *mask.shape[-2:]).float()
        fitted = interpolate(flat, size=(whole.height, whole.width), mode="bilinear")
        part = whole.crop(fitted, self.box)
        return part.reshape(*mask.shape[:-2], *part.shape[-2:]).to(mask)

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
