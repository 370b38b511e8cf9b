"""A TLS proxy: TLS on one side, a backend on the other, and in between who may, and who it is that calls.

``settings.py`` is what a proxy is told and ``server.py`` runs it. A connection is either relayed byte for byte
(``relay.py``) or spoken with (``http/``). What happens is told once, to the ``Journal``; the access log and the
metrics are what listens to it (``watching/``). ``operation/`` is the program around all that.
"""
