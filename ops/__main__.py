"""`python -m ops` is the `seamless` command."""

from ops.cli import main

if __name__ == "__main__":
    main()
