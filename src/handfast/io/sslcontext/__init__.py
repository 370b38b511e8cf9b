"""``handfast.SSLContext``: an ``ssl.SSLContext`` whose connections are this engine's.

Programs that take a context from ``ssl`` take this one. ``context`` is what they configure, ``connection`` what stands
behind each of their ``SSLSocket`` and ``SSLObject``, ``errors`` the only place where an error of ours becomes one of
``ssl``. docs/sslcontext.md says what differs from the stock context.
"""
