"""The networks.  Attribute names are the published checkpoints' keys."""
