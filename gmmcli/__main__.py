"""`gmmcli` and `python -m gmmcli`."""

# The built-in module: `signal` imports enum, and whoever presses Ctrl-C meanwhile would see a traceback.
from _signal import SIG_DFL, SIGINT, default_int_handler, getsignal, signal

__all__ = ["main"]


def main() -> None:
    """Run the command line; while its libraries load, Ctrl-C kills the process without a word."""
    if getsignal(SIGINT) is default_int_handler:
        signal(SIGINT, SIG_DFL)
    from gmmcli.cli import app

    app.main()


if __name__ == "__main__":
    main()
