"""The sizes of the demo's networks: what the loader node builds is what the training trained. No imports."""

CLIP_L = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
T5 = {"d_model": 64, "d_ff": 256, "d_kv": 32, "num_heads": 4, "num_layers": 3}
TEXT_TOKENS = 32
"""Tokens a text is padded to. FLUX's own 256 would make a 256-token picture mostly text."""
