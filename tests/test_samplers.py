"""Hard Binding under every kind of sampler: the bound region is a stand-alone run on the same noise, cropped.

Every sampler but the adaptive one is elementwise in the latent, the predictions and the noise, so that
replacing the prediction inside the box replaces the latent. What is left of a step after its last bound
evaluation belongs to the whole picture: samplers that evaluate the model twice a step (heun, uni_pc) take the
second evaluation of the last bound step at the first sigma that is not bound any more, so that their latent
equals the stand-alone one through the steps before, and their predictions through all bound ones.
"""

import pytest
import torch
from comfy.k_diffusion import sampling as k_diffusion
from rag_pack.rag_sampler.engine import add_spec
from rag_pack.rag_sampler.layout import Box
from rag_pack.rag_sampler.methods.binding import Binding
from rag_pack.rag_sampler.regions import Region
from tiny import basic_guider, cfg_guider, conditioning, noise_for, run, schedule

STEPS, BOUND = 6, 3
SHAPE = (16, 24)
BOX = Box(1 / 3, 0.25, 0.5, 0.75)
ROWS, COLUMNS = slice(4, 16), slice(8, 20)

ONE_EVALUATION = [
    "euler", "ddim", "euler_ancestral", "dpmpp_2m", "dpmpp_2m_sde", "res_multistep", "lcm", "er_sde", "deis",
]  # fmt: skip
TWO_EVALUATIONS = ["heun", "uni_pc"]
TOLERANCE = 1e-5


@pytest.fixture
def cropped_noise(monkeypatch):
    """Let the noise that a sampler draws on the box be the crop of what it draws on the picture."""

    def draw(x):
        generator = torch.Generator().manual_seed(1)

        def noise(*sigmas):
            whole = torch.randn(x.shape[0], x.shape[1], *SHAPE, generator=generator)
            return whole if x.shape[-2:] == SHAPE else whole[..., ROWS, COLUMNS]

        return noise

    monkeypatch.setattr(k_diffusion, "default_noise_sampler", lambda x, seed=None: draw(x))
    monkeypatch.setattr(k_diffusion, "BrownianTreeNoiseSampler", lambda x, *args, **kwargs: draw(x))


def both(model, texts, sampler: str, cfg: float = 1.0, features: bool = True):
    """Latents and predictions of the bound box and of the stand-alone run, ((x, x0), (x, x0))."""
    base, own, negative = (conditioning(texts, key) for key in ("G0", "H0", "G1"))
    noise, sigmas = noise_for(*SHAPE), schedule(model, STEPS)

    def guider(model, positive):
        return basic_guider(model, positive) if cfg == 1 else cfg_guider(model, positive, negative, cfg)

    bound = add_spec(model, Binding((Region(BOX, own),), BOUND, features))
    picture = run(guider(bound, base), noise, sigmas, sampler)
    alone = run(guider(model, own), noise[..., ROWS, COLUMNS], sigmas, sampler)
    return [part[..., ROWS, COLUMNS] for part in picture], alone


@pytest.mark.feature("sampler {sampler}", "Hard Binding")
@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("sampler", ONE_EVALUATION)
def test_the_bound_region_is_the_stand_alone_run(model, texts, cropped_noise, sampler, cfg):
    (x, x0), (alone, alone_x0) = both(model, texts, sampler, cfg)
    torch.testing.assert_close(x[: BOUND + 1], alone[: BOUND + 1], rtol=0, atol=TOLERANCE * cfg)
    torch.testing.assert_close(x0[:BOUND], alone_x0[:BOUND], rtol=0, atol=TOLERANCE * cfg)
    assert (x[-1] - alone[-1]).abs().max() > 1e-3  # and then it joins the picture


@pytest.mark.feature("sampler {sampler}", "Hard Binding")
@pytest.mark.parametrize("sampler", TWO_EVALUATIONS)
def test_two_evaluations_a_step_join_the_picture_in_the_last_bound_step(model, texts, cropped_noise, sampler):
    (x, x0), (alone, alone_x0) = both(model, texts, sampler)
    torch.testing.assert_close(x[:BOUND], alone[:BOUND], rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(x0[:BOUND], alone_x0[:BOUND], rtol=0, atol=TOLERANCE)


@pytest.mark.feature("sampler dpm_adaptive", "Hard Binding")
def test_dpm_adaptive_binds_every_evaluation_above_the_sigma(model, texts):
    """It chooses its steps by the error over the whole picture, so that no stand-alone run has the same ones.

    What holds is the rule itself: while sigma is above that of step N, the prediction inside the box is the
    region's own of the same latent.
    """
    own = conditioning(texts, "H0")
    noise, sigmas = noise_for(*SHAPE), schedule(model, STEPS)
    seen = []

    def watch(executor, x, timestep, model_options, seed):
        out = executor(x, timestep, model_options, seed)
        seen.append((float(timestep[0]), x[..., ROWS, COLUMNS].clone(), out[..., ROWS, COLUMNS].clone()))
        return out

    bound = add_spec(model, Binding((Region(BOX, own),), BOUND))
    bound.add_wrapper("predict_noise", watch)
    run(basic_guider(bound, conditioning(texts, "G0")), noise, sigmas, "dpm_adaptive")
    evaluations = [seen_one for seen_one in seen if seen_one[0] > float(sigmas[BOUND])]
    assert 1 <= len(evaluations) < len(seen)
    for sigma, x, prediction in evaluations:
        _, alone = run(basic_guider(model, own), x / sigma, torch.tensor([sigma, 0.0]), "euler")
        torch.testing.assert_close(prediction, alone[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("bound_steps", [STEPS, STEPS + 10])
def test_more_bound_steps_than_steps_bind_all(model, texts, bound_steps):
    own = conditioning(texts, "H0")
    noise, sigmas = noise_for(*SHAPE), schedule(model, STEPS)
    bound = add_spec(model, Binding((Region(BOX, own),), bound_steps))
    x, _ = run(basic_guider(bound, conditioning(texts, "G0")), noise, sigmas)
    alone, _ = run(basic_guider(model, own), noise[..., ROWS, COLUMNS], sigmas)
    torch.testing.assert_close(x[..., ROWS, COLUMNS], alone, rtol=0, atol=TOLERANCE * 2)
