"""The text encoders of the embedded demo model, which the stock DualCLIPLoader cannot build at their size."""

from __future__ import annotations

from pathlib import Path

from comfy_api.latest import io

from ..demo import sizes

MODELS = Path(__file__).resolve().parent.parent / "demo" / "models" / "text_encoders"
FILES = ("rag_demo_clip_l.safetensors", "rag_demo_t5.safetensors")


def load_demo_clip(folder: Path = MODELS):
    """Loads the tiny CLIP-L and T5 with FLUX's real tokenizers. Returns a CLIP; raises FileNotFoundError."""
    import comfy.sd

    paths = [folder / name for name in FILES]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"Demo CLIP Loader: {' and '.join(missing)} not found. The demo's text encoders come with this node "
            "pack in demo/models/text_encoders; fetch them again with git or reinstall the pack."
        )
    # ComfyUI writes into "model_config", hence the copies.
    options = {"model_config": dict(sizes.CLIP_L), "t5xxl_model_config": dict(sizes.T5)}
    clip = comfy.sd.load_clip(
        [str(path) for path in paths], clip_type=comfy.sd.CLIPType.FLUX, model_options=options
    )
    clip.set_tokenizer_option("t5xxl_min_length", sizes.TEXT_TOKENS)
    return clip


class RAGDemoCLIPLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RAGDemoCLIPLoader",
            display_name="Demo CLIP Loader",
            category="sampling/regional (RAG)",
            description="Loads the small text encoders of the demo model that comes with this pack (coloured shapes "
            "on coloured backgrounds). For FLUX.1 itself use the stock DualCLIPLoader.",
            search_aliases=["demo clip", "rag demo", "regional prompt demo", "tiny flux text encoder"],
            inputs=[],
            outputs=[
                io.Clip.Output(
                    tooltip="The demo model's text encoders: connect to CLIP Text Encode or a region."
                )
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(load_demo_clip())
