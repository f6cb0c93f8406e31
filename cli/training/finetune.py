"""`mmbert finetune classification|tagging|qa|choice`: labelled rows in, networks with their scores out."""

import typer


def classification(arguments: list[str]) -> None:
    """Fine-tune a classifier of texts or pairs of texts."""
    _finetune("classification", arguments)


def tagging(arguments: list[str]) -> None:
    """Fine-tune a tagger of words."""
    _finetune("tagging", arguments)


def qa(arguments: list[str]) -> None:
    """Fine-tune a network that finds answers in a passage."""
    _finetune("qa", arguments)


def choice(arguments: list[str]) -> None:
    """Fine-tune a network that chooses among answers."""
    _finetune("choice", arguments)


def _finetune(task: str, arguments: list[str]) -> None:
    from ...model_cards import draw_language_scores
    from ...tasks import run_fine_tuning

    run_fine_tuning(task, arguments, draw=draw_language_scores, tell=typer.echo)
