"""Learning from a teacher: vectors computed once, a start in closed form, a student that is trained to give them back.

`teachers` compute vectors (a SentenceTransformer, a command, an endpoint, a file), `label_store` keeps them on disk,
`rows` says which text shall get whose vector, `ridge` solves for the best table of token vectors, `static_start` makes
an embedder of it, or the start of one, `losses` compare student and teacher, `run` trains.
"""
