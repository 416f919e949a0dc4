"""Faults by their stable codes (`spec/protocol.md`, section 10)."""


class Refused(Exception):
    """Something was refused, by this side or by a peer.

    `code` is one of section 10's codes, `reason` is for people, `by` names the party that refused: ours is `hospital`.
    """

    def __init__(self, code: str, reason: str, by: str = "hospital", remedy: str = ""):
        super().__init__(f"{by}: {code}: {reason}")
        self.code = code
        self.reason = reason
        self.by = by
        self.remedy = remedy
