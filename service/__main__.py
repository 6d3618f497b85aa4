"""``python -m service`` runs the ``minigpt4-service`` command line."""

from service.cli import main

# vLLM's engine process imports this module again under another name; it must not run the command
# again.
if __name__ == "__main__":
    main()
