"""The asyncio shell: a transport that wraps a protocol directly. ``handfast.aio`` is its public name."""
