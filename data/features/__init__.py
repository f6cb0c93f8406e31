"""Labelled rows as the network reads them: `texts`, `words` and `passages` encode, `windows` cuts what is too long."""
