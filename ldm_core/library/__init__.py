"""The models on this machine and on the hub, by name."""
