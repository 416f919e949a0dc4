"""Sections 1, 4.1, 4.2, 4.5, 5.4, 7 and 10."""

from __future__ import annotations

from sealwort_interop import cbor, channel, cookie, handshake, messages

from .setting import shown, unhex

SHAPES: dict[str, cbor.Shape] = {
    "header": messages.HEADER,
    "hello": messages.HELLO,
    "cookie-demand": messages.COOKIE_DEMAND,
    "introduction": messages.INTRODUCTION,
    "acceptance": messages.ACCEPTANCE_OF_INTRODUCTION,
    "presentation": messages.PRESENTATION,
    "share": messages.SHARE,
    "signed-share": messages.SIGNED_SHARE,
    "answer": messages.ANSWER,
    "signed-answer": messages.SIGNED_ANSWER,
    "broker-answer": messages.ANSWER_TO_STEP_4,
    "completion": messages.STEP_9,
    "confirm": messages.CONFIRM,
    "broker-call": messages.BROKER_CALL,
    "broker-call-reply": messages.BROKER_CALL_REPLY,
    "broker-reply": messages.BROKER_CALL_REPLY,
    "policies": messages.POLICIES,
    "channel-message": messages.CHANNEL_MESSAGE,
    "access-request": messages.ACCESS_REQUEST,
    "policy-challenge": messages.CHALLENGE,
    "policy-acceptance": messages.ACCEPTANCE,
    "token": messages.TOKEN,
    "token-grant": messages.BROKER_GRANT,
    "sub-half": messages.SUB_HALF,
    "possession": messages.POSSESSION,
    "registration": messages.REGISTRATION,
    "directive": messages.DIRECTIVE,
    "entry-header": messages.ENTRY_HEADER,
    "plain": messages.PLAIN,
    "envelope": messages.ENVELOPE,
    "wire-entry": messages.ENTRY,
    "entry": messages.ENTRY,
    "receipt": messages.RECEIPT,
    "to-broker": messages.TO_BROKER,
    "from-broker": messages.FROM_BROKER,
    "to-archive": messages.TO_ARCHIVE,
    "from-archive": messages.FROM_ARCHIVE,
    "archive-grant": messages.ARCHIVE_GRANT,
    "notice": messages.NOTICE,
    "refusal": messages.REFUSAL,
}
CHOICES = (
    "to-broker",
    "from-broker",
    "to-archive",
    "from-archive",
    "notice",
    "broker-call-reply",
    "broker-call",
    "broker-reply",
)


def shape(rule: str) -> cbor.Shape:
    """The shape for a rule of the CDDL; a case of a choice is read as the choice."""
    if rule in SHAPES:
        return SHAPES[rule]
    return next(SHAPES[choice] for choice in CHOICES if rule.startswith(choice + "-"))


def message(given: dict) -> dict:
    data = unhex(given["bytes"])
    what = shape(given["rule"])
    assert what.encode(what.decode(data)) == data
    return {"content": shown(cbor.decode(data))}


def header_check(given: dict) -> dict:
    header = messages.HEADER.decode(unhex(given["header"]))
    messages.check_header(header, given["exchange"], given["step"], unhex(given["session"]))
    return {}


def frames(given: dict) -> dict:
    found = channel.frames(unhex(given["bytes"]))
    return {"frames": [{"receiver": receiver, "message": data.hex()} for receiver, data in found]}


def policies_hash(given: dict) -> dict:
    return {"digest": handshake.policies_digest(messages.POLICIES.decode(unhex(given["policies"]))).hex()}


def policies_admit(given: dict) -> dict:
    handshake.admits(*(messages.POLICIES.decode(unhex(given[name])) for name in ("own", "demanded")))
    return {}


def make_cookie(given: dict) -> dict:
    key, nonce, hop = (unhex(given[name]) for name in ("key", "nonce", "hop"))
    return {"cookie": cookie.make(key, nonce, hop, given["time"]).hex()}


def check_cookie(given: dict) -> dict:
    key, data, nonce, hop = (unhex(given[name]) for name in ("key", "cookie", "nonce", "hop"))
    cookie.check(key, data, nonce, hop, given["now"])
    return {}


def session_id(given: dict) -> dict:
    parties = [(each["identity"], unhex(each["certificate"]), unhex(each["nonce"])) for each in given["parties"]]
    return {"session": handshake.session_id(parties).hex()}


KINDS = {
    "message": message,
    "header-check": header_check,
    "frames": frames,
    "policies-hash": policies_hash,
    "policies-admit": policies_admit,
    "cookie": make_cookie,
    "cookie-check": check_cookie,
    "session-id": session_id,
}
