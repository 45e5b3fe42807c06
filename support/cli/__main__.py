"""`python -m support.cli`: what the script `accept` starts."""

from support.cli.main import main

if __name__ == "__main__":
    main()
