"""The server: who may ask what of it, and the page that it serves."""
