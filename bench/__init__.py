"""The measurements behind the README's tables; `python3 dev.py bench NAME` runs one."""

from demo.comfy_setup import start_comfyui

start_comfyui()
