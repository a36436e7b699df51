"""Picture files from outside, and what goes back into one: reading, colours, masks.  Imports no torch."""
