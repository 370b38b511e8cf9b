"""What came of a connection that failed, as data and in words, for the command line, the endpoint and the log alike.

``cause`` says why a server refused us, ``failure`` how a connection ended, ``failure_words`` makes sentences of it.
``describer`` and ``certificate_words`` name certificates, ``offered`` says what a hello offers.
"""
