"""Train a recipe: the same as `mmbert pretrain`, for `accelerate launch` and for a clone.

accelerate launch examples/run_mlm.py --recipe demo --output_dir run
"""

from mmbert.cli.training.pretrain import main

if __name__ == "__main__":
    main()
