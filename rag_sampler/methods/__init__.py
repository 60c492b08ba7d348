"""The methods, one file each: what a node asks for (a Spec), and what that is on the picture of a run (a Layer)."""
