"""The real service with stub engine and encoder: ``python -m loadtests.stubs.service serve FLAGS``.

Spawned processes import this module as well, so the encoder is a stub in each of them.
"""

from loadtests.stubs.encoder import replace_encoder
from service.cli import main

replace_encoder()

if __name__ == "__main__":
    main()
