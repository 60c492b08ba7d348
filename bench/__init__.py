"""The measurements of docs/measurements.md; `python3 dev.py bench NAME` runs one."""

from demo.comfy_setup import start_comfyui

start_comfyui()
