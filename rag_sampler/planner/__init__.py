"""From one sentence to a layout: what a language model is asked, and how its answer becomes a plan.

`instruction` writes the request, `read_plan` reads the answer: our JSON object, the answer formats and parameter
lists of RAG (arXiv 2411.06558) and the answer format of RPG (arXiv 2401.11708). Text is never evaluated.
Pure Python: no torch, no ComfyUI.
"""

from .instruction import ANSWER_STYLES, instruction
from .plan import Part, Plan, read_plan
from .problems import RETRY, PlanError, Problem

__all__ = ["ANSWER_STYLES", "RETRY", "Part", "Plan", "PlanError", "Problem", "instruction", "read_plan"]
