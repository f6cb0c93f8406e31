"""Search in documents: `index` adds, removes and answers; `store` is its files, `words` its full text, `where` filters.

Read `index` first, then `store`; `documents` and `passages` say what goes in, `hits` what comes out.
"""
