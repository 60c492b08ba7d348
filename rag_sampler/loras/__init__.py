"""A region's own LoRA: what a file adds to the layers of a network, and which tokens wear it."""
