"""The one reader of rows, for everything that reads them.

`read` is the way in; `files` knows formats, compression, lines and slices, `delimited`, `json_rows`, `arrow` and
`conll` read a format each, `hub` the Hub's datasets, `names` what names of files say.
"""
