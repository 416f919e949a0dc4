"""Section 8."""

from __future__ import annotations

from sealwort_interop import cose, crypto, log, messages, record
from sealwort_interop.hospital import by_place
from sealwort_interop.refusal import Refused

from .setting import Party, head, private_key, trust, unhex, unhex_all

CHANGES = {record.PUT: "put", record.DELETE: "delete", record.MOVE: "move"}


def locator(given: dict) -> dict:
    return {"locator": record.locator(unhex(given["directory_key"]), given["system"], given["value"]).hex()}


def pseudonym(given: dict) -> dict:
    return {"pseudonym": record.pseudonym(unhex(given["pseudonym_key"]), min(unhex_all(given["locators"]))).hex()}


def label_tag(given: dict) -> dict:
    tag = record.label_tag(unhex(given["directory_key"]), unhex(given["pseudonym"]), given["label"])
    return {"tag": tag.hex()}


def sub_half(given: dict) -> dict:
    half, patient, tag = (unhex(given[name]) for name in ("half", "pseudonym", "tag"))
    node = record.node(half, given["side"], patient, given["epoch"], tag)
    author = given["author"]
    secret = node if author is None else record.leaf(node, author)
    encoded = messages.SUB_HALF.make(epoch=given["epoch"], tag=tag, author=author, secret=secret)
    return {"node": node.hex(), "secret": secret.hex(), "sub_half": encoded.hex()}


def record_key(given: dict) -> dict:
    broker, archive = (messages.SUB_HALF.decode(unhex(given[side])) for side in ("broker", "archive"))
    tag, author, epoch = unhex(given["tag"]), given["author"], given["epoch"]
    leaves = [leaf_for(each, epoch, tag, author) for each in (broker, archive)]
    key = record.record_key(*leaves, unhex(given["pseudonym"]), epoch, author, tag)
    return {"broker_leaf": leaves[0].hex(), "archive_leaf": leaves[1].hex(), "record_key": key.hex()}


def leaf_for(half, epoch: int, tag: bytes, author: str) -> bytes:
    if (half.epoch, half.tag) != (epoch, tag):
        raise Refused("record-invalid", "a sub-half of another epoch or label")
    return record.leaf_of(half, author)


def size_class(given: dict) -> dict:
    return {"classes": [record.size_class(length) for length in given["lengths"]]}


def pad(given: dict) -> dict:
    return {"padded": record.pad(unhex(given["plain"])).hex()}


def entry_seal(given: dict) -> dict:
    header_bytes, plain = unhex(given["header"]), unhex(given["plain"])
    header = messages.ENTRY_HEADER.decode(header_bytes)
    broker, archive = (messages.SUB_HALF.decode(unhex(given[side])) for side in ("broker", "archive"))
    leaves = [leaf_for(each, header.epoch, header.tag, header.author) for each in (broker, archive)]
    key = record.record_key(*leaves, header.patient, header.epoch, header.author, header.tag)
    entry_key = record.entry_key(key, header.entry_id)
    padded = record.pad(plain)
    ciphertext = crypto.seal(entry_key, 0, padded, header_bytes)
    digest = record.ciphertext_digest(ciphertext)
    envelope = messages.ENVELOPE.make(header=header_bytes, ciphertext=digest, length=len(ciphertext))
    statement = cose.sign("entry", private_key("ed25519", given["seed"]), envelope)
    return {
        "record_key": key.hex(),
        "entry_key": entry_key.hex(),
        "padded": padded.hex(),
        "ciphertext": ciphertext.hex(),
        "ciphertext_digest": digest.hex(),
        "envelope": envelope.hex(),
        "bytes": statement.hex(),
        "hash": log.entry_hash(statement).hex(),
    }


def entry_open(given: dict) -> dict:
    envelope = record.parse_envelope(
        cose.verify("entry", unhex(given["bytes"]), crypto.public_key(unhex(given["author_key"])))
    )
    header = envelope.header
    leaves = []
    for side in ("broker", "archive"):
        halves = by_place([messages.SUB_HALF.decode(unhex(each)) for each in given[side]])
        if (header.epoch, header.tag) not in halves:
            raise Refused("record-invalid", f"the {side} gave no sub-half for this epoch and label")
        leaves.append(record.leaf_of(halves[header.epoch, header.tag], header.author))
    key = record.record_key(*leaves, header.patient, header.epoch, header.author, header.tag)
    change = record.open_entry(envelope, unhex(given["ciphertext"]), key)
    return {
        "change": CHANGES[change.change],
        "resource_type": change.resource_type,
        "id": change.id,
        "content": change.content.hex(),
    }


def genesis(given: dict) -> dict:
    return {"genesis": log.genesis(unhex(given["pseudonym"])).hex()}


def receipt_verify(given: dict) -> dict:
    key = crypto.public_key(unhex(given["archive_key"]))
    data = unhex(given["bytes"])
    payload = messages.RECEIPT.decode(cose.parse("receipt", data).payload)
    receipt = log.read_receipt(data, key, given["exchange"], given["archive"], payload.patient)
    return {
        "patient": receipt.patient.hex(),
        "sequence": receipt.sequence,
        "head": receipt.head.hex(),
        "deposit": receipt.deposit and receipt.deposit.hex(),
        "issued_at": receipt.issued_at,
    }


def log_walk(given: dict) -> dict:
    patient = unhex(given["patient"])
    walk = log.Walk(given["exchange"], patient, head(given["witness"]), *head(given["from"]))
    authors = log.Authors(trust(given["trust"]))
    heads = [head(each) for each in given.get("heads", [])]
    for each in given["authors"]:
        authors.add(unhex_all(each["chain"]))
    for entry in unhex_all(given["entries"]):
        walk.take(entry, authors)
    archive = Party(given["archive"])
    receipt = log.read_receipt(
        unhex(given["receipt"]), archive.key.public_key(), given["exchange"], archive.identity, patient
    )
    walk.hold_against(heads)
    walk.end(receipt)
    return {"head": {"sequence": walk.sequence, "head": walk.head.hex()}}


KINDS = {
    "locator": locator,
    "pseudonym": pseudonym,
    "label-tag": label_tag,
    "sub-half": sub_half,
    "record-key": record_key,
    "size-class": size_class,
    "pad": pad,
    "entry-seal": entry_seal,
    "entry-open": entry_open,
    "genesis": genesis,
    "receipt-verify": receipt_verify,
    "log-walk": log_walk,
}
