"""What OpenSSL demands of a path beside RFC 5280, and with it nginx, HAProxy, stunnel, PostgreSQL and the like.

Its default is to go up to a root: an intermediate that is trusted alone ends no path. And it takes a certificate for an
issuer only if the authorityKeyIdentifier fits, of which RFC 5280 4.2.1.1 makes a help to find it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast.trust.path.paths import issued
from handfast.x509.certificates import names_another_issuer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handfast.x509.certificates import Parsed

_ALL = "programs on OpenSSL, as nginx, PostgreSQL, Python and curl, refuse it; Go, Java and rustls do not"
_MOST = "nginx, HAProxy, PostgreSQL and Python before 3.13 refuse it, as OpenSSL does by default; curl, Go, Java do not"


def objection(leaf: Parsed, sent: Sequence[Parsed], trusted: Sequence[Parsed]) -> str:
    """Why OpenSSL builds no path from the leaf to what is trusted, where there is one; "" where it does."""
    path = [leaf]
    while not path[-1].self_signed:
        last = path[-1]
        above = [one for one in (*trusted, *sent) if one not in path and issued(last, one)]
        fitting = [one for one in above if not names_another_issuer(last, one)]
        if above and not fitting:
            what = f"{last.subject_text} names another key or serial number of its issuer (authorityKeyIdentifier)"
            return f"{what} than {above[0].subject_text} has: {_ALL}"
        if not fitting:
            break
        path.append(fitting[0])
    anchor = next((one for one in path if one in trusted), None)
    if anchor is None or (path[-1] in trusted and path[-1].self_signed):
        return ""
    what = "certificate" if anchor is leaf else "intermediate"
    return f"the {what} {anchor.subject_text} is trusted itself, and no root above it: {_MOST}"
