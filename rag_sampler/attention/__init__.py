"""Who reads whom in one forward: reads (reads.py), ComfyUI's attention hook (override.py), masks of conditionings."""
