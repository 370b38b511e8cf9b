"""The doctor: why mutual TLS fails, from what connections, files, captures and logs show.

``catalogue`` declares the causes, ``evidence`` is what is known, ``diagnosis`` makes causes of it. ``probe`` and
``examine`` gather evidence. None of it knows TLS itself: it reads outcomes, verdicts and lint.
"""
