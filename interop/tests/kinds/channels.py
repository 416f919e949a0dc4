"""Section 5.1 to 5.3."""

from __future__ import annotations

from sealwort_interop import cbor, crypto
from sealwort_interop.channel import Channel, key_of, next_secret
from sealwort_interop.messages import CHANNEL_MESSAGE, VERSION

from .setting import unhex, unhex_all


class Clock:
    def __init__(self, now: float):
        self.now = now

    def __call__(self) -> float:
        return self.now


def ends(given: dict) -> tuple[Channel, Clock, bytes]:
    """A channel that sends as `from` and receives what `from` sends, and the secret of that direction."""
    key, pair = unhex(given["key"]), given["pair"]
    directions = {"sharer": "sealwort sharer to answerer v1", "answerer": "sealwort answerer to sharer v1"}
    secret = crypto.expand(key, directions[given["from"]], pair)
    clock = Clock(given["established"])
    return Channel(pair, unhex(given["session"]), secret, secret, clock=clock), clock, secret


def channel_send(given: dict) -> dict:
    channel, clock, secret = ends(given)
    messages, generation, current = [], 0, secret
    for sent in given["sent"]:
        clock.now = sent["at"]
        _, message = channel.seal(unhex(sent["content"]), sent["reply_to"])
        read = CHANNEL_MESSAGE.decode(message)
        while generation < read.generation:
            generation, current = generation + 1, next_secret(current)
        parts = [given["pair"], VERSION, read.session, read.generation, read.number, read.reply_to]
        messages.append(
            {
                "generation": read.generation,
                "number": read.number,
                "key": key_of(current).hex(),
                "associated": cbor.encode(parts).hex(),
                "message": message.hex(),
            }
        )
    return {"secret": secret.hex(), "messages": messages}


def channel_receive(given: dict) -> dict:
    channel, clock, _ = ends(given)
    for before in unhex_all(given["before"]):
        channel.open(before, CHANNEL_MESSAGE.decode(before).reply_to)
    clock.now = given["now"]
    message = unhex(given["message"])
    opened = channel.open(message, given["reply_to"])
    return {
        "number": opened.number,
        "generation": CHANNEL_MESSAGE.decode(message).generation,
        "content": opened.content.hex(),
    }


KINDS = {"channel-send": channel_send, "channel-receive": channel_receive}
