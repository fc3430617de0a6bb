"""``python -m querytax``, where the command is not on the path."""

from querytax.cli import main

if __name__ == "__main__":
    main(prog_name="querytax")
