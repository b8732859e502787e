"""The messages between a kernel's session and its enclave's broker: one JSON object per packet, bulk by descriptor.

The socket is AF_UNIX, SOCK_SEQPACKET. The kernel asks, the broker answers each request once, in order, and the next
when the kernel has read the last answer. All bulk goes through three memfds that the broker makes once for a kernel,
and lends again and again: one begins with a safetensors file of the weights; one is the update's, which the kernel
fills in ``TensorSpec.update_layout()``; one is the state's. What the kernel has filled is copied when it submits.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from flipnb.contracts.consensus import Consensus
from flipnb.contracts.document import Document
from flipnb.contracts.outputs import DeclaredOutput
from flipnb.contracts.problem import Problem
from flipnb.contracts.tensors import TensorSpec
from flipnb.contracts.text import Identifier

PACKET_BYTES = 64 << 10


class OpenRounds(Document):
    """The first request: the model's tensors as the notebook has them (digest of the spec). Answered by NextRound.

    A kernel is given each round once: opened again, a round that it was given already is refused.
    """

    verb: Literal["open"] = "open"
    tensors: str = Field(pattern=r"^[0-9a-f]{64}$")


class Lease(Document):
    """Ask for memory: ``update`` (sized by the tensor spec) or ``state`` (``size`` bytes). Answered by Leased + fd."""

    verb: Literal["lease"] = "lease"
    what: Literal["update", "state"]
    size: int = Field(default=0, ge=0, le=64 << 30)


class Submit(Document):
    """Round done: report, agreement, and the leases filled. Answered by NextRound (+ fd), or Ended after the last."""

    verb: Literal["submit"] = "submit"
    round: int = Field(ge=1)
    report: dict[Identifier, float]
    agreement: float | None = None
    update: bool = True
    state: bool = False
    leave: bool = False


class Tell(Document):
    """How many epochs of this round's local training are done; answered by Done, also where the plan declares none."""

    verb: Literal["progress"] = "progress"
    epoch: int = Field(ge=0, le=1_000_000)


class AskTotal(Document):
    """Arrays to be summed over the Trusts, flat, by name. Answered by Totalled when all have given theirs."""

    verb: Literal["total"] = "total"
    values: dict[Identifier, tuple[float, ...]]


class Hello(Document):
    """What the kernel may know of its run. Answered by Welcome; may come at any time."""

    verb: Literal["hello"] = "hello"


KernelMessage = Annotated[Hello | OpenRounds | Lease | Submit | Tell | AskTotal, Field(discriminator="verb")]
KERNEL_MESSAGE: TypeAdapter[Hello | OpenRounds | Lease | Submit | Tell | AskTotal] = TypeAdapter(KernelMessage)


class Welcome(Document):
    """The plan's number of rounds, the declared outputs, its consensus, and the tensors as the bundle declares them."""

    kind: Literal["welcome"] = "welcome"
    rounds: int
    outputs: tuple[DeclaredOutput, ...]
    consensus: Consensus | None = None
    tensors: TensorSpec | None = None


class NextRound(Document):
    """Comes with one descriptor (the weights) and, where a state was saved before, a second one, which begins with
    ``state_bytes`` bytes of it."""

    kind: Literal["round"] = "round"
    round: int
    of: int
    training: bool
    config: dict[Identifier, float]
    state_bytes: int = Field(default=0, ge=0)


class Leased(Document):
    """Comes with one descriptor: a memfd, whose first ``size`` bytes are to be filled."""

    kind: Literal["leased"] = "leased"
    size: int


class Totalled(Document):
    """The sum over the Trusts, flat, by name."""

    kind: Literal["totalled"] = "totalled"
    values: dict[Identifier, tuple[float, ...]]


class Done(Document):
    """A request was taken, and there is nothing to say of it."""

    kind: Literal["done"] = "done"


class Ended(Document):
    """No round comes any more: the last was submitted, or the notebook left."""

    kind: Literal["ended"] = "ended"


class Refused(Document):
    """The broker refuses a request; the session raises it as an error in the notebook."""

    kind: Literal["refused"] = "refused"
    problem: Problem


BrokerMessage = Annotated[Welcome | NextRound | Leased | Totalled | Done | Ended | Refused, Field(discriminator="kind")]
BROKER_MESSAGE: TypeAdapter[Welcome | NextRound | Leased | Totalled | Done | Ended | Refused] = TypeAdapter(
    BrokerMessage
)
