"""Several processes that resume each other's sessions and take each early data once, by way of one Redis or Valkey.

``redis_fleet`` is the face of it: what a server's configuration is given. ``shared_tickets``, ``shared_sessions`` and
``shared_guard`` are the three things that are shared, each with the argument why it is safe at its top; ``scripts``
what Redis runs for them in one step; ``redis_link`` the one connection of a process, with its thread, and
``redis_place``, which alone imports the client library, how it is made. ``fleet_keys`` seals all that leaves the
process.
"""
