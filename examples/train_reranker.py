"""Train a reranker: the same as `mmbert train reranker`, for `accelerate launch` and for a clone."""

from mmbert.cli.training.train import main

if __name__ == "__main__":
    main("reranker")
