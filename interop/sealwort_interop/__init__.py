"""A hospital in Python, written from `spec/protocol.md` alone.

It shares no code with the Rust implementation and meets it over the network only, so that whatever one side does and
the text does not say shows as a failure.
"""
