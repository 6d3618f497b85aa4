"""The command line of ``evaluate``."""

import argparse

from service.evaluation.command import add_arguments


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(words)
