"""The mathematics of diffusion: schedule, parameterization, samplers, guidance.  No network."""
