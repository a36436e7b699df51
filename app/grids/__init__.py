"""Grids: many pictures of one form that differ in one to three fields, and a picture that shows them all."""
