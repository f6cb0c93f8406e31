"""Continue a checkpoint on new languages: the same as `mmbert continue`, for `accelerate launch` and for a clone.

python examples/continue_pretraining.py --recipe my_continue.yaml --new kab_Latn,chv_Cyrl --output_dir out
"""

from mmbert.cli.training.continue_pretraining import main

if __name__ == "__main__":
    main()
