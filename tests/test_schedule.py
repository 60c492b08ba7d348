"""The sigmas of a run: which step one belongs to, and in which window it lies."""

from types import SimpleNamespace

import pytest
import torch
from rag_pack.rag_sampler.schedule import Schedule, Window, same_sigma

SCHEDULE = Schedule(
    torch.tensor([1.0, 0.75, 0.5, 0.25, 0.0]), SimpleNamespace(percent_to_sigma=lambda p: 1 - p)
)


@pytest.mark.parametrize(
    ("sigma", "bound"),
    [(1.0, True), (0.75, True), (0.5001, True), (0.500001, False), (0.5, False), (0.499999, False)],
)
def test_the_first_steps_end_before_the_sigma_of_the_next(sigma, bound):
    """A sampler that computes it anew misses it by a little."""
    assert (sigma in SCHEDULE.first(2)) == bound


def test_all_steps_are_the_first_of_more_than_there_are():
    assert 0.25 in SCHEDULE.first(9) and 0.0 not in SCHEDULE.first(9)


@pytest.mark.parametrize(
    ("sigma", "inside"),
    [
        (0.7501, False),
        (0.750001, True),
        (0.75, True),
        (0.5, True),
        (0.25, True),
        (0.249999, True),
        (0.2499, False),
    ],
)
def test_a_window_of_percent_has_both_its_ends(sigma, inside):
    assert (sigma in SCHEDULE.between(0.25, 0.75)) == inside


@pytest.mark.parametrize(
    ("sigma", "step"),
    [(1.1, 0), (1.0, 0), (0.9, 0), (0.7500001, 1), (0.75, 1), (0.7499999, 1), (0.6, 1), (0.25, 3), (0.0, 3)],
)
def test_an_evaluation_belongs_to_the_step_that_has_begun(sigma, step):
    assert SCHEDULE.step(sigma) == step


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [(0.5, 0.5, True), (0.5, 0.500004, True), (0.5, 0.5001, False), (0.0, 1e-8, True), (0.0, 1e-6, False)],
)
def test_two_sigmas_are_one_up_to_rounding(one, other, same):
    assert same_sigma(one, other) == same_sigma(other, one) == same


def test_a_window_without_width_has_one_sigma():
    assert 0.5 in Window(0.5, 0.5) and 0.5 not in Window(0.5, 0.5, closed=False)
