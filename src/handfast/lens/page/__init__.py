"""The page: connections told in one HTML file that needs nothing else, every byte of every record with its name.

A ``Story`` listens to one connection, and ``page.render`` makes the file of several. docs/page.md shows it in use.
"""
