"""How names and amounts stand in sentences for a person."""

from __future__ import annotations


def shown(text: str, limit: int = 80) -> str:
    """`text` from a file as it may stand in a message: printable, one line, not long."""
    clean = "".join(c if c.isprintable() else "?" for c in text[: limit + 1])
    return clean if len(clean) <= limit else f"{clean[: limit - 3]}..."


def size_text(count: int) -> str:
    """A number of bytes for a person: "83 bytes", "1.2 MB", "6.0 GB"."""
    if count < 10_000:
        return f"{count} bytes"
    value = count / 1e3
    for unit in ("kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
