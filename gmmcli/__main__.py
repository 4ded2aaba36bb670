"""The program, for `gmmcli` and `python -m gmmcli`."""

# Not `signal`, which imports enum: Ctrl-C during that import would print a traceback.
from _signal import SIG_DFL, SIGINT, default_int_handler, getsignal, signal

__all__ = ["main"]


def main() -> None:
    """Run the command line; while its libraries load, Ctrl-C kills the process silently."""
    if getsignal(SIGINT) is default_int_handler:
        signal(SIGINT, SIG_DFL)
    from gmmcli.cli import app

    app.main()


if __name__ == "__main__":
    main()
