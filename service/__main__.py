"""``python -m service`` is the ``minigpt4-service`` command."""

from service.cli import main

# vLLM spawns its engine as a fresh interpreter that imports this module again.
if __name__ == "__main__":
    main()
