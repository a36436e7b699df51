"""Measures models on scenes that no training has seen."""
