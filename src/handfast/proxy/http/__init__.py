"""HTTP through the proxy: who may ask for what, and requests and answers that are handed on. RFC 9110, 9112, 9113.

    client  <->  http1.py or http2.py  <->  exchange.py  <->  upstream.py  <->  backend

h11 and h2 read what comes; nothing that they read is handed on as it stood. A request becomes a ``Request``
(``request.py``), is held against the ``Gate``, and is written anew for the backend, so that what the backend reads as
one request is what we judged as one. ``serving.py`` is the door.
"""
