"""``python -m roomrec_async.cli``: the ``roomrec`` command where scripts are not on the path."""

from . import main

if __name__ == "__main__":
    main()
