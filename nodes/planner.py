"""Nodes at both ends of a language model: what it is asked, and what its answer means."""

from comfy_api.latest import io, ui

from ..rag_sampler.planner import ANSWER_STYLES, RETRY, SIZE, Part, PlanError, instruction, read_plan
from ..rag_sampler.preview import draw_plan
from ..rag_sampler.regions import Region
from .checks import checked
from .common import CATEGORY, SEARCH, Regions, encode, named, size_inputs

PLANNER_SEARCH = [*SEARCH, "LLM", "language model", "planner", "GPT", "RPG", "MLLM"]


class RAGPlannerPrompt(io.ComfyNode):
    """The instruction with which a language model plans a layout."""

    NAME = "Planner Prompt"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RAGPlannerPrompt",
            display_name=cls.NAME,
            category=CATEGORY,
            description=(
                "Writes what to ask a language model so that it plans the layout of a picture. Connect it to the prompt "
                "of any node that writes text, and that node's text to Plan to Regions."
            ),
            search_aliases=PLANNER_SEARCH,
            inputs=[
                io.String.Input(
                    "sentence",
                    default="",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="What the picture shall show, in a sentence or two and in any language.",
                ),
                *size_inputs(),
                io.Int.Input(
                    "region_count",
                    default=0,
                    min=0,
                    max=100,
                    tooltip="How many boxes to ask for; 0 is one for each thing in the sentence.",
                ),
                io.Combo.Input(
                    "answer_style",
                    options=list(ANSWER_STYLES),
                    default=ANSWER_STYLES[0],
                    tooltip="Small models that cannot think silently plan better when they may reason first.",
                ),
                io.String.Input(
                    "feedback",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip="For a second try: the error of Plan to Regions. Leave empty otherwise.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="instruction", tooltip="The prompt for the language model.")
            ],
        )

    @classmethod
    def validate_inputs(cls, sentence=None) -> bool | str:
        if sentence is not None and not sentence.strip():
            return f"{cls.NAME}: sentence is empty; write what the picture shall show"
        return True

    @classmethod
    @checked
    def execute(cls, sentence, width, height, region_count, answer_style, feedback="") -> io.NodeOutput:
        with named(cls.NAME):
            return io.NodeOutput(instruction(sentence, width, height, region_count, answer_style, feedback))


class RAGPlanToRegions(io.ComfyNode):
    """The regions in a language model's answer."""

    NAME = "Plan to Regions"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RAGPlanToRegions",
            display_name=cls.NAME,
            category=CATEGORY,
            description=(
                "Reads a layout from a language model's answer: the JSON that Planner Prompt asks for, the answer formats "
                "of RAG, RPG and Omost, boxes as vision models write them, RAG's parameter lists, or a saved layout. Text is "
                "never run as code."
            ),
            search_aliases=[*PLANNER_SEARCH, "import layout", "JSON", "HB_prompt_list", "BREAK"],
            not_idempotent=True,
            inputs=[
                io.String.Input(
                    "answer",
                    default="",
                    multiline=True,
                    tooltip="What the language model wrote, whatever surrounds the plan. Or paste a layout here.",
                ),
                io.Clip.Input("clip", tooltip="Encodes the prompts, as CLIP Text Encode does."),
                *size_inputs(),
                io.String.Input(
                    "sentence",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip="Becomes the base prompt where the answer has none, as in RAG's and RPG's formats.",
                ),
            ],
            outputs=[
                Regions.Output(
                    display_name="binding_regions", tooltip="The boxes: for Hard Binding, one for each thing."
                ),
                Regions.Output(
                    display_name="refinement_regions",
                    tooltip="The cells: for Soft Refinement; the boxes where the plan has no cells.",
                ),
                io.String.Output(
                    display_name="base_prompt",
                    tooltip="For the whole picture: connect it to CLIP Text Encode.",
                ),
                io.Image.Output(display_name="preview", tooltip="The boxes, over the outlines of the cells."),
                io.String.Output(
                    display_name="report",
                    tooltip="Where the plan was found, what was repaired and passed over.",
                ),
                io.String.Output(
                    display_name="layout",
                    tooltip="The plan as JSON: save it, edit it, or read it with this node again.",
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, answer=None) -> bool | str:
        try:
            if answer is not None:
                read_plan(answer)
        except PlanError as error:
            if not any(problem.field == SIZE for problem in error.problems):  # execute knows it
                return f"{cls.NAME}: {error}\n{RETRY}"
        return True

    @classmethod
    @checked
    def execute(cls, answer, clip, width, height, sentence="") -> io.NodeOutput:
        def regions(parts: tuple[Part, ...]) -> tuple[Region, ...]:
            return tuple(
                Region(part.shape, *encode(clip, part.prompt), drawn_for=(width, height)) for part in parts
            )

        with named(cls.NAME):
            try:
                plan = read_plan(answer, sentence, (width, height))
                binding = regions(plan.boxes)
                refinement = regions(plan.cells) or binding
                preview = draw_plan(binding, refinement, width, height)
            except ValueError as error:
                raise ValueError(f"{error}\n{RETRY}") from error
            return io.NodeOutput(
                binding,
                refinement,
                plan.base_prompt,
                preview,
                plan.report,
                plan.to_json(),
                ui=ui.PreviewImage(preview, cls=cls),
            )
