"""Misspelt flags are told from vLLM's without vLLM."""

import pytest
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser

from service.errors import SettingsError
from service.serve.flag_names import check_flag_names, list_vllm_flags


def test_the_list_is_that_of_the_installed_vllm() -> None:
    """After an upgrade of vLLM, write the printed list to ``service/serve/vllm_flags.txt``."""
    parser = make_arg_parser(FlexibleArgumentParser())
    installed = sorted(flag for action in parser._actions for flag in action.option_strings)
    print(*installed, sep="\n")
    assert list_vllm_flags() == installed


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--max-num-seqs", "8"],
        ["--max_num_seqs=8"],
        ["-tp", "2", "-O3", "-O=2", "-O", "1"],
        ["--no-enforce-eager"],
        ["--hf-overrides.rope_scaling.factor", "-2"],
        ["--hf-overrides", '{"--a-b": 1}'],
        ["--default-chat-template-kwargs=--strange"],
    ],
)
def test_flags_of_vllm_pass_in_all_their_forms(words: list[str]) -> None:
    check_flag_names(words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--max-num-seq", "8"], "--max-num-seq; did you mean --max-num-seqs?"),
        (["--modle=x"], "--modle; did you mean --model?"),
        (["--encoder_quee", "3"], "--encoder_quee; did you mean --encoder-queue?"),
        (["--xyzzy"], "--xyzzy; `serve --help` shows the flags"),
        (["-pt", "2"], "no flag -pt"),
        (["some/folder"], "--model some/folder"),
    ],
)
def test_other_flags_are_refused_with_the_nearest(words: list[str], message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        check_flag_names(words)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
