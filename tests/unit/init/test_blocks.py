"""One table of a file of settings is changed; every other byte stays."""

import pytest

from labtrawl.cli.settings_blocks import Blocks, replace_texts
from labtrawl.errors import ConfigError

TEXT = """\
# mine
data_dir = "d"

[[instances]] # first
name = "a"

# about b
[[instances]]
name = "b" # here

# Ada
[[accounts]]
instance = "a"
token = "old"

# Bob
[[accounts]]
instance = "b"

[website]
port = 1
"""


def test_replaced_block_leaves_the_comments_of_its_neighbours() -> None:
    blocks = Blocks(TEXT)
    blocks.replace("accounts", 0, '[[accounts]]\ninstance = "a"\ntoken = "new"\n')
    blocks.extend("instances", 1, 'client_id = "c"\n')
    blocks.append("# end\n")
    expected = TEXT.replace('"old"', '"new"').replace(
        '"b" # here\n', '"b" # here\nclient_id = "c"\n'
    )
    assert blocks.text == expected + "# end\n"


def test_file_that_writes_its_tables_otherwise_is_told() -> None:
    with pytest.raises(ConfigError, match=r"write the accounts of the file as \[\[accounts\]\]"):
        Blocks('accounts = [{instance = "a"}]\n').replace("accounts", 0, "")


def test_text_with_escapes_is_told() -> None:
    assert replace_texts("a = 'x'", {"x": "y"}) == "a = 'y'"
    with pytest.raises(ConfigError, match="is written with escapes"):
        replace_texts(r"a = 'x'", {"z": "y"})
