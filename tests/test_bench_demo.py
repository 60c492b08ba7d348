"""What the measurements on the demo model share."""

import logging

from bench.demo import warn_once


def test_advice_that_every_run_repeats_is_logged_once(monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger(), "filters", [])
    warn_once()
    for delta in (0.5, 1.0, 0.5):
        logging.warning("RAG: delta %g", delta)
    assert caplog.messages == ["RAG: delta 0.5", "RAG: delta 1"]
