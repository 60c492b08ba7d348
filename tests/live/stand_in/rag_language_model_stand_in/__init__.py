"""For tests: in place of a language model, a CLIP that core's Generate Text can use and that answers as told."""

from comfy_api.latest import ComfyExtension, io


class StandIn:
    """Generates one of two texts, the second where the prompt tells what was wrong with the first."""

    def __init__(self, answer: str, second_answer: str) -> None:
        self.answers = [answer, second_answer]

    def tokenize(self, text: str, **_) -> str:
        return text

    def generate(self, tokens: str, **_) -> list[int]:
        return [0 if "Request: " not in tokens else 2 if "Your last answer" in tokens else 1]

    def decode(self, token_ids: list[int], **_) -> str:
        return ["I was asked for nothing.", *self.answers][token_ids[0]]


class RAGTestLanguageModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RAGTestLanguageModel",
            inputs=[io.String.Input("answer"), io.String.Input("second_answer", default="", optional=True)],
            outputs=[io.Clip.Output()],
        )

    @classmethod
    def execute(cls, answer, second_answer="") -> io.NodeOutput:
        return io.NodeOutput(StandIn(answer, second_answer))


class StandInExtension(ComfyExtension):
    async def get_node_list(self) -> list:
        return [RAGTestLanguageModel]


async def comfy_entrypoint() -> StandInExtension:
    return StandInExtension()
