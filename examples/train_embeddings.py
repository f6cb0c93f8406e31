"""Train an embedder: the same as `mmbert train embedder`, for `accelerate launch` and for a clone."""

from mmbert.cli.training.train import main

if __name__ == "__main__":
    main("embedder")
