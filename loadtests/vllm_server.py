"""Start vLLM's own server, as ``vllm serve`` does: ``python -m loadtests.vllm_server FLAGS``.

The module of vLLM's server ignores ``--api-server-count``, and the ``vllm`` command looks for the
package's version under the name of the CUDA wheel.
"""

from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.entrypoints.serve.utils.api_utils import cli_env_setup
from vllm.utils.argparse_utils import FlexibleArgumentParser


def main() -> None:
    """Parse vLLM's flags and serve."""
    cli_env_setup()
    command = ServeSubcommand()
    arguments = make_arg_parser(FlexibleArgumentParser()).parse_args()
    command.validate(arguments)
    command.cmd(arguments)


if __name__ == "__main__":
    main()
