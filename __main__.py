"""`python -m mmbert` and `accelerate launch -m mmbert`: the command line."""

from mmbert.cli import main

main()
