"""What may be embedded: text that a tokenizer can read."""

from typing import Any


def check_text(text: Any, where: str) -> None:
    """Refuse what is not text, saying where in the input it stands."""
    if not isinstance(text, str):
        raise ValueError(f"{where}: expected text, got {type(text).__name__} {text!r:.60}; drop it or convert it first")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as broken:
        raise ValueError(
            f"{where}: character {broken.start} is half a surrogate pair (U+{ord(text[broken.start]):04X}); "
            "repair it with text.encode('utf-8', 'replace').decode()"
        ) from broken
