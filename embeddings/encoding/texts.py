"""What may be embedded: text that a tokenizer can read."""

from typing import Any


def check_text(text: Any, where: str) -> None:
    """Refuse what is not text, saying where it stands.

    Args:
        text: What should be a str.
        where: Place in the input, for the message.

    Raises:
        ValueError: If it is not a str, or holds half a surrogate pair, which no tokenizer can read.
    """
    if not isinstance(text, str):
        raise ValueError(f"{where}: expected text, got {type(text).__name__} {text!r:.60}; drop it or convert it first")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as broken:
        raise ValueError(
            f"{where}: character {broken.start} is half a surrogate pair (U+{ord(text[broken.start]):04X}); "
            "repair it with text.encode('utf-8', 'replace').decode()"
        ) from broken
