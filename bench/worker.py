"""One program in its own process: tasks come in as lines of JSON, answers go out as lines of JSON.

Usage: worker.py gmmcli|scikit-learn|mlpack

A task names a method of the program's contender, with its arguments. Tables never pass through the pipes:
they are drawn here, from the seed that their shape is.
"""

import json
import os
import sys

from contenders import Gmmcli, Mlpack, ScikitLearn
from problems import Shape

CONTENDERS = {"gmmcli": Gmmcli, "scikit-learn": ScikitLearn, "mlpack": Mlpack}


def main() -> None:
    """Answer until the tasks end."""
    # A library that prints must not spoil the answers: its standard output is standard error from here on.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    contender = CONTENDERS[sys.argv[1]]()
    for line in sys.stdin:
        arguments = json.loads(line)
        task = arguments.pop("task")
        if "shape" in arguments:
            arguments["shape"] = Shape(**arguments["shape"])
        try:
            answer = getattr(contender, task)(**arguments)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
