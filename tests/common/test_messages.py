"""Remedies are in the words of what the user ran."""

import pytest
from mmbert.common import messages


@pytest.mark.parametrize(
    "style, value, switch",
    [
        ("python", "on_bad_row='skip'", "allow_changed_data=True"),
        ("command", "--on-bad-row skip", "--allow-changed-data"),
        ("script", "--on_bad_row skip", "--allow_changed_data"),
        (
            "recipe",
            "`on_bad_row: skip` in the recipe's data section",
            "`allow_changed_data: true` in the recipe's data section",
        ),
    ],
)
def test_options_and_switches(monkeypatch, style, value, switch):
    monkeypatch.setattr(messages, "_now", {"style": style})
    monkeypatch.setattr(messages, "_own", {})
    assert messages.option("on_bad_row", "skip") == value
    assert messages.flag("allow_changed_data") == switch
    with messages.speaking("command"):
        assert messages.option("on_bad_row", "skip") == "--on-bad-row skip"
    assert messages.option("on_bad_row", "skip") == value
