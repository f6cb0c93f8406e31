"""Where text comes from.

`open` takes a place, `files`, `hub`, `mds` and `demo` read it, `base` and `rows` are what they give.
"""
