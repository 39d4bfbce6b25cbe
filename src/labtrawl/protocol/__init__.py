"""The wire between website and crawler: messages, codec, connections (docs: the wire protocol).

The codec is pure; `connection` moves bytes; `client` and `server` are the two ends of a stream.
"""
