"""PKCS#11 URIs: the name of a key in a token. RFC 7512.

    pkcs11:token=ca%20token;object=server;type=private?module-path=/usr/lib/token.so&pin-source=file:/run/pin

The path says which token and object; what stands after the question mark says how to get at them. Only what is
understood is accepted: an attribute that were passed over might be the one that tells two keys apart. RFC 7512 lets a
PIN come from the output of a command; that is refused, because one who may write a file name must not be able to run a
program.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from handfast.errors import ConfigError
from handfast.text import escape

# What such a URI begins with.
PKCS11 = "pkcs11:"

_PATH = frozenset(
    (
        "token", "manufacturer", "serial", "model", "library-manufacturer", "library-version", "library-description",
        "object", "type", "id", "slot-id", "slot-manufacturer", "slot-description",
    )
)  # fmt: skip
_QUERY = frozenset(("pin-source", "pin-value", "module-name", "module-path"))
_NUMBER = re.compile(r"\d+(\.\d+)?", re.ASCII)
# RFC 7512 2.3. A little more than it allows there, such as "|", so that what is meant can be told from what is cut.
_VALUE = re.compile(r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=/?&|]|%[0-9A-Fa-f]{2})*")


@dataclass(frozen=True, slots=True)
class Pkcs11Uri:
    """A parsed URI. ``attributes`` are those of the path, decoded; ``pin`` never shows.

    ``id`` is CKA_ID; ``module_path`` and ``module_name`` name the library; ``pin`` is the PIN itself and ``pin_file``
    the file that holds it.
    """

    attributes: dict[str, str]
    id: bytes | None = None
    module_path: str | None = None
    module_name: str | None = None
    pin: bytes | None = field(default=None, repr=False)
    pin_file: Path | None = None

    def __str__(self) -> str:
        """The path as it may be shown: without a PIN, and escaped."""
        shown = [f"{name}={value}" for name, value in self.attributes.items()]
        if self.id is not None:
            shown.append(f"id={self.id.hex()}")
        return escape(PKCS11 + ";".join(shown))


def parse_pkcs11_uri(text: str) -> Pkcs11Uri:
    """RFC 7512 2.3. Raises ConfigError bad_pkcs11_uri, which shows no value and nothing of the query, for a PIN."""
    path, _, query = text.partition("?")
    if not path.lower().startswith(PKCS11):
        raise _bad(f"it does not begin with {PKCS11}")
    found = _attributes(path[len(PKCS11) :], ";", _PATH)
    how = _attributes(query, "&", _QUERY)
    if "pin-source" in how and "pin-value" in how:
        raise _bad("it has both pin-source and pin-value")
    if found.get("type", b"private") != b"private":
        raise _bad("its type is not private, and only a private key can sign")
    for name in ("slot-id", "library-version"):
        if name in found and not _NUMBER.fullmatch(found[name].decode("latin-1")):
            raise _bad(f"its {name} is not a number")
    return Pkcs11Uri(
        {name: _text(name, value) for name, value in found.items() if name not in ("id", "type")},
        found.get("id"),
        module_path=_text("module-path", how["module-path"]) if "module-path" in how else None,
        module_name=_module_name(how["module-name"]) if "module-name" in how else None,
        pin=how.get("pin-value"),
        pin_file=_pin_file(how["pin-source"]) if "pin-source" in how else None,
    )


def _attributes(text: str, separator: str, known: frozenset[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in text.split(separator) if text else ():
        name, equals, value = part.partition("=")
        if name not in known:
            # In a query it may be what follows a "&" in a PIN.
            raise _bad(
                f"its attribute {escape(name[:40])!r} is not known" if known is _PATH else "its query is not known"
            )
        if name in found:
            raise _bad(f"it has {name} twice")
        if not equals or not _VALUE.fullmatch(value):
            raise _bad(f"its {name} has no value, or one with characters that must be percent-encoded")
        found[name] = _decoded(value)
    return found


def _decoded(value: str) -> bytes:
    return re.sub(rb"%(..)", lambda match: bytes.fromhex(match[1].decode()), value.encode("ascii"))


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise _bad(f"its {name} is not UTF-8") from None


def _module_name(value: bytes) -> str:
    name = _text("module-name", value)
    if not name or "/" in name or name.startswith("."):
        raise _bad("its module-name is empty or a path; module-path is for those")
    return name


def _pin_file(value: bytes) -> Path:
    source = _text("pin-source", value)
    if source.lstrip().startswith("|"):
        raise _bad("its pin-source is a command, and none is ever run for a PIN")
    for prefix in ("file://localhost/", "file:///", "file:/", "/"):
        rest = source.removeprefix(prefix)
        if rest != source and not rest.startswith("/"):
            return Path("/" + rest)
    raise _bad("its pin-source is neither file:/... nor an absolute path")


def _bad(reason: str) -> ConfigError:
    return ConfigError("bad_pkcs11_uri", reason=reason)
