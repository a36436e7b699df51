"""The engine of Latent Atelier: latent diffusion models, their samplers, training and evaluation."""
