"""Labelled rows as the network reads them: `texts`, `words` and `passages` encode, `windows` cuts what is too long."""

from ...common.lazy import lazy_exports

_HOMES = {
    "Answers": "answers",
    "Borders": "words",
    "PassageRows": "passage_rows",
    "WordRows": "word_rows",
    "answer_spans": "passages",
    "best_null_threshold": "answers",
    "encode_running": "words",
    "encode_texts": "texts",
    "most_context": "windows",
    "spaces_of": "running_text",
    "split_words": "running_text",
    "tag_names": "word_labels",
    "windows_over": "windows",
    "write_predictions": "answers",
    "written_spaces": "running_text",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)
