"""`python -m mmbert` and `accelerate launch -m mmbert`: the command line."""

from mmbert.cli import main

if __name__ == "__main__":
    main()
