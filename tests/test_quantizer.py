"""Vector quantization: nearest entries, straight-through gradients and the codebook's loss."""

from __future__ import annotations

import torch

from ldm_core.nn.quantizer import VectorQuantizer


def with_codebook(entries: list[list[float]]) -> VectorQuantizer:
    quantizer = VectorQuantizer(len(entries), len(entries[0]))
    quantizer.load_state_dict({"embedding.weight": torch.tensor(entries)})
    return quantizer


def test_every_vector_becomes_its_nearest_entry() -> None:
    quantizer = with_codebook([[0.0, 0.0], [1.0, 0.0], [0.0, 4.0]])
    z = torch.tensor([[[[0.4, 0.6]], [[0.0, 0.0]]], [[[9.0, 0.1]], [[0.1, 2.1]]]])  # (2, 2, 1, 2)
    found = quantizer(z)
    assert found.indices.tolist() == [[[0, 1]], [[1, 2]]]
    assert torch.equal(quantizer.lookup(found.indices), found.z.detach().round())


def test_nearest_agrees_with_all_distances() -> None:
    """Also beyond the number of vectors that are compared at once."""
    torch.manual_seed(0)
    quantizer, z = VectorQuantizer(64, 3), torch.rand(1, 3, 80, 70) / 32 - 1 / 64
    distances = torch.cdist(z.movedim(1, -1).reshape(-1, 3).double(), quantizer.embedding.weight.double())
    assert torch.equal(quantizer.nearest(z).flatten(), distances.argmin(1))


def test_gradients_go_straight_through_to_the_latent() -> None:
    quantizer = with_codebook([[0.0], [1.0]])
    z = torch.tensor([[[[0.9, 0.2]]]], requires_grad=True)
    (quantizer(z).z * torch.tensor([3.0, 5.0])).sum().backward()
    assert z.grad is not None and z.grad.flatten().tolist() == [3.0, 5.0]
    assert quantizer.embedding.weight.grad is None


def test_the_loss_moves_entries_to_latents_and_beta_times_as_much_the_other_way() -> None:
    quantizer = with_codebook([[0.0], [1.0]])
    z = torch.tensor([[[[0.8]]]], requires_grad=True)
    loss = quantizer(z).loss(beta=0.25)
    loss.backward()
    torch.testing.assert_close(loss.detach(), torch.tensor(1.25 * 0.2**2))
    assert z.grad is not None and quantizer.embedding.weight.grad is not None
    torch.testing.assert_close(z.grad.flatten(), torch.tensor([0.25 * -0.4]))
    torch.testing.assert_close(quantizer.embedding.weight.grad.flatten(), torch.tensor([0.0, 0.4]))
