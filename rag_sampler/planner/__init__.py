"""From one sentence to a layout: what a language model is asked, and how its answer becomes a plan.

`instruction` writes the request, `read_plan` reads the answer: our JSON object, boxes as others write them, the answer
formats and parameter lists of RAG (arXiv 2411.06558), the answer format of RPG (arXiv 2401.11708) and Omost's canvas
code. Text is never evaluated.
Pure Python: no torch, no ComfyUI.
"""

from .instruction import ANSWER_STYLES, instruction
from .places import SIZE
from .plan import Part, Plan, read_plan
from .problems import RETRY, PlanError, Problem

__all__ = [
    "ANSWER_STYLES",
    "RETRY",
    "SIZE",
    "Part",
    "Plan",
    "PlanError",
    "Problem",
    "instruction",
    "read_plan",
]
