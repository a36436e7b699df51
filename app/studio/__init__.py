"""The jobs of the people who work here, and what their pages are told of them."""
