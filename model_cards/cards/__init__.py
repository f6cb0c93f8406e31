"""Model cards as Markdown, one file per kind of model."""
