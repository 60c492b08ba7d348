"""Region-aware generation for FLUX: Hard Binding, Soft Refinement and layouts (RAG, arXiv 2411.06558).

`regions`, `layout` and `planner` need nothing but Python; the other modules need torch, and those that touch a running
model need ComfyUI. Nothing here knows about nodes.
"""
