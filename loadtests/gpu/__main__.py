"""``python -m loadtests.gpu``."""

from loadtests.gpu.command import main

if __name__ == "__main__":
    main()
