"""What users call a model whose class in ComfyUI may have another name."""

from __future__ import annotations

NAMES = {
    "ACEStep": "ACE-Step",
    "ACEStep15": "ACE-Step 1.5",
    "Anima": "Anima",
    "AuraFlow": "AuraFlow",
    "Boogu": "Boogu",
    "Chroma": "Chroma",
    "ChromaRadiance": "Chroma Radiance",
    "CogVideoX_T2V": "CogVideoX",
    "CosmosT2IPredict2": "Cosmos-Predict2",
    "CosmosT2V": "Cosmos",
    "DepthAnything3": "Depth Anything 3",
    "ErnieImage": "ERNIE-Image",
    "Flux": "FLUX.1",
    "Flux2": "FLUX.2",
    "GenmoMochi": "Mochi",
    "HiDream": "HiDream-I1",
    "HiDreamO1": "HiDream-O1",
    "Hunyuan3Dv2": "Hunyuan3D 2",
    "HunyuanDiT": "HunyuanDiT",
    "HunyuanImage21": "HunyuanImage 2.1",
    "HunyuanImage21Refiner": "HunyuanImage 2.1 Refiner",
    "HunyuanVideo": "HunyuanVideo",
    "HunyuanVideo15": "HunyuanVideo 1.5",
    "HunyuanVideo15_SR_Distilled": "HunyuanVideo 1.5",
    "Ideogram4": "Ideogram 4",
    "JoyImage": "JoyImage",
    "Kandinsky5": "Kandinsky 5",
    "Krea2": "Krea 2",
    "LTXV": "LTX-Video",
    "Lens": "Lens",
    "LongCatImage": "LongCat-Image",
    "LotusD": "Lotus",
    "Lumina2": "Lumina 2",
    "MageFlow": "MageFlow",
    "MiniMaxH3": "MiniMax H3",
    "Omnigen2": "OmniGen2",
    "PiD": "PiD",
    "PixArtAlpha": "PixArt-Alpha",
    "PixArtSigma": "PixArt-Sigma",
    "PixelDiTT2I": "PixelDiT",
    "QwenImage": "Qwen-Image",
    "RT_DETR_v4": "RT-DETR",
    "SAM3": "SAM 3",
    "SD15": "SD1.5",
    "SD15_instructpix2pix": "InstructPix2Pix (SD1.5)",
    "SD20": "SD2",
    "SD21UnclipH": "SD2.1 unCLIP",
    "SD21UnclipL": "SD2.1 unCLIP",
    "SD3": "SD3.5",
    "SDXL": "SDXL",
    "SDXLRefiner": "SDXL Refiner",
    "SDXL_instructpix2pix": "InstructPix2Pix (SDXL)",
    "SD_X4Upscaler": "SD x4 Upscaler",
    "SVD_img2vid": "Stable Video Diffusion",
    "SeedVR2": "SeedVR2",
    "StableAudio": "Stable Audio",
    "Stable_Cascade_C": "Stable Cascade",
    "Stable_Zero123": "Stable Zero123",
    "TripoSplat": "TripoSplat",
    "WAN21_T2V": "Wan",
    "ZImage": "Z-Image",
    "ZImagePixelSpace": "Z-Image in pixel space",
}
"""By the class of comfy.supported_models, or one that it derives from; others are called by their class."""


def shown(config: object, model: object) -> str:
    """The name of a model (of comfy.model_base) with its configuration (of comfy.supported_models)."""
    for kind in (*type(config).__mro__, *type(model).__mro__):
        if kind.__name__ in NAMES:
            return NAMES[kind.__name__]
    return type(model).__name__
