"""RAG: region-aware generation for FLUX in ComfyUI (Hard Binding, Soft Refinement)."""

WEB_DIRECTORY = "./js"


async def comfy_entrypoint():
    """What ComfyUI calls to load the nodes."""
    from .nodes import RAGExtension

    return RAGExtension()
