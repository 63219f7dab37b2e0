"""`python -m mlotel`: the command line."""

from mlotel.cli import main

if __name__ == "__main__":
    main()
