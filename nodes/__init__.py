"""The nodes: they translate widgets to calls of rag_sampler and hold no logic of their own."""

from pathlib import Path

import folder_paths
from comfy_api.latest import ComfyExtension

from .canvas import RAGRegionCanvas
from .demo import RAGDemoCLIPLoader
from .dense_diffusion import RAGDenseDiffusion
from .layout import RAGLayoutPreview, RAGRegionsToMask
from .loras import RAGRegionLora
from .patches import (
    RAGHardBinding,
    RAGRegionalPrompting,
    RAGRPGRegionalDiffusion,
    RAGSoftRefinementAttention,
)
from .planner import RAGPlannerPrompt, RAGPlanToRegions
from .regions import RAGRegionBox, RAGRegionMask, RAGRegionStrength, RAGSplitRatioLayout
from .repaint import RAGRepaint
from .sampler import RAGHardBindingSampler

DEMO_MODELS = Path(__file__).parent.parent / "demo" / "models"


class RAGExtension(ComfyExtension):
    async def on_load(self) -> None:
        for folder in sorted(path for path in DEMO_MODELS.glob("*") if path.is_dir()):
            folder_paths.add_model_folder_path(folder.name, str(folder))

    async def get_node_list(self) -> list:
        return [
            RAGRegionCanvas,
            RAGRegionBox,
            RAGRegionMask,
            RAGSplitRatioLayout,
            RAGRegionStrength,
            RAGHardBinding,
            RAGSoftRefinementAttention,
            RAGRegionalPrompting,
            RAGRPGRegionalDiffusion,
            RAGDenseDiffusion,
            RAGHardBindingSampler,
            RAGRepaint,
            RAGLayoutPreview,
            RAGRegionsToMask,
            RAGPlannerPrompt,
            RAGPlanToRegions,
            RAGDemoCLIPLoader,
            RAGRegionLora,
        ]
