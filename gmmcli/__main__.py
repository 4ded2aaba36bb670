"""`gmmcli` and `python -m gmmcli`."""

from gmmcli.cli.app import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
