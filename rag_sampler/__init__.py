"""Region-aware generation: Hard Binding, Soft Refinement, Repaint and layouts (RAG, arXiv 2411.06558), and Regional
Prompting (arXiv 2411.02395).

    layout, regions, picture, schedule, canvas, preview, planner    the ground: what is asked for, in tokens and sigmas
    attention                                                       who reads whom
    networks                                                        one file a family of models
    methods                                                         one file a method
    engine                                                          where all that sits in ComfyUI
    sampling, repaint                                               what the nodes call

Each knows those above it alone. `regions`, `layout`, `picture` and `planner` need nothing but Python; the other modules
need torch, and those that touch a running model need ComfyUI. Nothing here knows about nodes.
"""
