"""The browser side's pure logic: snapping, split tools, the drawing's schema. Its tests are in tests/js."""

from javascript import node
from tiny import REPO


def test_pure_logic():
    files = sorted(map(str, (REPO / "tests" / "js").glob("*.test.js")))
    done = node("--test", "--test-reporter=spec", *files)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_modules_are_small():
    """What every page loads before the first node is drawn."""
    assert sum(path.stat().st_size for path in (REPO / "js").rglob("*.js")) < 160 * 1024
