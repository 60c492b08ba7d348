"""The one engine behind all nodes; it asks methods and networks, and names none of them."""

from .evaluation import STEP
from .wrappers import KEY, add_spec, plain, specs_of

__all__ = ["KEY", "STEP", "add_spec", "plain", "specs_of"]
