"""The fields of a request as components, and back."""
