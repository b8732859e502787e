"""A Trust's card says which versions its environments have, and an earlier card still says what it said."""

from flipnb.contracts.document import canonical_bytes, parse
from flipnb.contracts.trust_card import BuiltEnvironment
from flipnb.enclave.agent.card import _built

LOCK = """
# of pip
Scikit_Learn==1.9.1 \\
    --hash=sha256:0000
uvicorn[standard]==0.34.0
colorama==0.4.6; sys_platform == "win32"
wheel-from-a-file @ file:///srv/wheels/it.whl
torch==2.13.0+cpu
"""


def test_versions_are_those_of_the_lock(tmp_path):
    lock = tmp_path / "science" / "lock.txt"
    lock.parent.mkdir()
    lock.write_text(LOCK)
    built = _built(lock)
    assert built.name == "science"
    assert built.distributions == ("colorama", "scikit-learn", "torch", "uvicorn", "wheel-from-a-file")
    assert built.releases == {
        "colorama": "0.4.6",
        "scikit-learn": "1.9.1",
        "torch": "2.13.0+cpu",
        "uvicorn": "0.34.0",
    }


def test_a_card_of_an_earlier_agent_is_read_and_keeps_its_bytes():
    earlier = canonical_bytes({"name": "demo", "lock": "0" * 64, "distributions": ["torch"]})
    read = parse(BuiltEnvironment, earlier, "The environment")
    assert read.releases == {}
    assert read.to_bytes() == earlier
