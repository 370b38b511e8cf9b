"""Private keys in a PKCS#11 token: an HSM, a smart card, a TPM, SoftHSM. Needs the extra ``handfast[pkcs11]``.

The key never leaves the token; it signs there. Three things of the standard shape this file:

- ``python-pkcs11`` initializes a module without locks, and such a module may be called by one thread at a time
  (PKCS#11 2.40, 5.4). So each module has a lock here, and who signs holds it; the interpreter's own lock is free
  meanwhile, and under asyncio the event loop goes on when a ``ThreadSigner`` stands in front.
- A token locks itself after a few wrong PINs. One that the token refused is never tried again by the same signer.
- A login holds for the whole process. A key that a login before has opened is used without another.

ECDSA signs a digest and answers two numbers side by side, which TLS wants in DER; the others take the whole message,
but for RSA in tokens that do not hash: they get a digest, and for PKCS#1 v1.5 a DigestInfo.
"""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from handfast.credentials.passwords import asked_once
from handfast.credentials.pkcs11_uri import Pkcs11Uri, parse_pkcs11_uri
from handfast.crypto import signatures
from handfast.errors import ConfigError, LocalFailure
from handfast.fork import renew_in_children
from handfast.registry import SignatureScheme
from handfast.text import escape
from handfast.x509 import loading as files

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from handfast.credentials.passwords import Password

MODULE_VARIABLE = "HANDFAST_PKCS11_MODULE"
# What stands for all modules that this machine's p11-kit is configured with, by its own name and by its library's.
_PROXIES = ("p11-kit-proxy.so", "libp11-kit.so.0")
_TRIAL = b"handfast: does this token hold the certificate's key?"


class _Mechanism(NamedTuple):
    """How a token makes signatures of a scheme: ``name`` as python-pkcs11 has it, and the hash that goes with it.

    ``digests`` says that the token is given the digest of the message, ``wrapped`` that it is a DigestInfo; ``salted``
    that the token is told of RSASSA-PSS.
    """

    name: str
    hash: str = ""
    digests: bool = False
    salted: bool = False
    wrapped: bool = False


def _pss(name: str) -> tuple[_Mechanism, ...]:
    whole = _Mechanism(f"{name.upper()}_RSA_PKCS_PSS", name, salted=True)
    return whole, _Mechanism("RSA_PKCS_PSS", name, digests=True, salted=True)


def _pkcs1(name: str) -> tuple[_Mechanism, ...]:
    whole = _Mechanism(f"{name.upper()}_RSA_PKCS", name)
    return whole, _Mechanism("RSA_PKCS", name, digests=True, wrapped=True)


# The first that a token has is used. Ed448 is left out: tokens do not agree on its parameters.
_MECHANISMS: dict[int, tuple[_Mechanism, ...]] = {
    SignatureScheme.ecdsa_secp256r1_sha256: (_Mechanism("ECDSA", "sha256", digests=True),),
    SignatureScheme.ecdsa_secp384r1_sha384: (_Mechanism("ECDSA", "sha384", digests=True),),
    SignatureScheme.ecdsa_secp521r1_sha512: (_Mechanism("ECDSA", "sha512", digests=True),),
    SignatureScheme.ed25519: (_Mechanism("EDDSA"),),
    SignatureScheme.rsa_pss_rsae_sha256: _pss("sha256"),
    SignatureScheme.rsa_pss_rsae_sha384: _pss("sha384"),
    SignatureScheme.rsa_pss_rsae_sha512: _pss("sha512"),
    SignatureScheme.rsa_pss_pss_sha256: _pss("sha256"),
    SignatureScheme.rsa_pss_pss_sha384: _pss("sha384"),
    SignatureScheme.rsa_pss_pss_sha512: _pss("sha512"),
    SignatureScheme.rsa_pkcs1_sha256: _pkcs1("sha256"),
    SignatureScheme.rsa_pkcs1_sha384: _pkcs1("sha384"),
    SignatureScheme.rsa_pkcs1_sha512: _pkcs1("sha512"),
    SignatureScheme.rsa_pkcs1_sha256_legacy: _pkcs1("sha256"),
    SignatureScheme.rsa_pkcs1_sha384_legacy: _pkcs1("sha384"),
    SignatureScheme.rsa_pkcs1_sha512_legacy: _pkcs1("sha512"),
}
# What a client may do with a token that knows no RSASSA-PSS, in either version.
_PKCS1_SCHEMES = (*sorted(signatures.CERTIFICATE_ONLY), *signatures.LEGACY_CLIENT_SCHEMES)
_KEY_TYPES = {"ECDSA": "EC", "RSA": "RSA", "RSASSA-PSS": "RSA", "Ed25519": "EC_EDWARDS"}


class Pkcs11Signer:
    """Signs with a private key in a PKCS#11 token. May be used by any number of threads.

    It blocks while the token works: under asyncio, put a ``ThreadSigner`` in front of it, as ``Credentials.from_files``
    does. A signer does not survive a fork; make it in the process that uses it.
    """

    def __init__(
        self,
        uri: str,
        certificate: bytes,
        pin: Password | None = None,
        *,
        module: str | None = None,
        cert_name: str = "the certificate",
        legacy_client_signatures: bool = False,
    ) -> None:
        """``uri`` names the key (RFC 7512), ``certificate`` (DER) says what kind of key it is.

        ``pin`` goes before what the URI says, ``module`` before its module-path; then come its module-name, the
        environment variable HANDFAST_PKCS11_MODULE and p11-kit's proxy. The key is tried at once, unless ``pin`` is a
        callable: then the token is asked for its mechanisms only, and the callable at the first signature.

        ``legacy_client_signatures`` lets a token that does RSA in PKCS#1 v1.5 only sign for a client: in TLS 1.2, and
        in TLS 1.3 if the server asks for that (RFC 9963).

        Raises ConfigError bad_pkcs11_uri, pkcs11_not_installed, bad_pkcs11_module, no_token, no_token_key,
        several_token_keys, pin_needed, pin_wrong, pin_locked, token_failed, token_mechanism, token_pkcs1_only,
        key_mismatch, bad_certificate, unsupported_key.
        """
        self.uri = parse_pkcs11_uri(uri)
        self._public_key = files.public_key(certificate, cert_name)
        self._cert_name = cert_name
        self._pin = asked_once(pin if pin is not None else self.uri.pin or self.uri.pin_file)
        self._pin_refused = False
        self._must_log_in = False
        # A key may want the PIN for each signature, as the signature key of a PIV card does.
        self._asks_each_time = False
        self._key: Any = None
        self._process = os.getpid()
        self._module = _module_for(self.uri, module)
        with self._module.lock:
            try:
                self._mechanisms = self._usable(self._token().slot, legacy=legacy_client_signatures)
                if not callable(pin):
                    self._try_key()
            except self._module.pkcs11.PKCS11Error as error:
                raise ConfigError("token_failed", uri=self.uri, reason=_reason(error)) from None

    @property
    def schemes(self) -> tuple[int, ...]:
        """What both the key and the token can do, in order of preference."""
        return tuple(self._mechanisms)

    def __repr__(self) -> str:
        return f"Pkcs11Signer({self.uri}, {self._public_key.name})"

    def sign(self, scheme: int, message: bytes) -> bytes:
        """The signature, made in the token; waits for it. Raises LocalFailure signing_failed, which says why."""
        if os.getpid() != self._process:
            raise LocalFailure("signing_failed", reason="the token was opened before a fork")
        if scheme not in self._mechanisms:
            name = SignatureScheme.describe(scheme)
            raise LocalFailure("signing_failed", reason=f"the token cannot make {name} signatures")
        with self._module.lock:
            try:
                return self._sign(scheme, message)
            except ConfigError as error:
                raise LocalFailure("signing_failed", reason=error.what) from None
            except self._module.pkcs11.PKCS11Error as error:
                raise LocalFailure("signing_failed", reason=f"{self.uri}: {_reason(error)}") from None

    def close(self) -> None:
        """Close the session with the token; the next signature opens another."""
        with self._module.lock:
            key, self._key = self._key, None
            if key is not None:
                key.session.close()

    # Signing

    def _sign(self, scheme: int, message: bytes) -> bytes:
        pkcs11 = self._module.pkcs11
        if self._key is not None:
            try:
                return self._make(scheme, message)
            except pkcs11.UserNotLoggedIn:
                self._must_log_in = True
            except (
                pkcs11.SessionHandleInvalid,
                pkcs11.SessionClosed,
                pkcs11.KeyHandleInvalid,
                pkcs11.ObjectHandleInvalid,
                pkcs11.DeviceRemoved,
                pkcs11.TokenNotPresent,
            ):
                # It was pulled and put back, or restarted.
                pass
        self._key = self._open_key()
        return self._make(scheme, message)

    def _make(self, scheme: int, message: bytes) -> bytes:
        pkcs11 = self._module.pkcs11
        how = self._mechanisms[scheme]
        parameters = None
        if how.salted:
            names = pkcs11.Mechanism[how.hash.upper()], pkcs11.MGF[how.hash.upper()]
            parameters = (*names, hashlib.new(how.hash).digest_size)
        data = hashlib.new(how.hash, message).digest() if how.digests else message
        if how.wrapped:
            data = signatures.digest_info(how.hash, data)
        how_to_sign = {"mechanism": pkcs11.Mechanism[how.name], "mechanism_param": parameters}
        if self._asks_each_time:
            how_to_sign["pin"] = self._pin_text()
        with self._giving_pin() if self._asks_each_time else nullcontext():
            made = bytes(self._key.sign(data, **how_to_sign))
        return signatures.ecdsa_signature(made) if how.name == "ECDSA" else made

    def _try_key(self) -> None:
        """Prove once that the token's key is the certificate's."""
        self._key = self._open_key()
        wanted = _KEY_TYPES[self._public_key.kind.partition(" ")[0]]
        same_kind = self._key.key_type == self._module.pkcs11.KeyType[wanted]
        scheme = self.schemes[0]
        if not same_kind or not signatures.verify(self._public_key, scheme, self._sign(scheme, _TRIAL), _TRIAL):
            raise ConfigError("key_mismatch", cert=self._cert_name, key=self.uri)

    # Finding

    def _usable(self, slot: Any, *, legacy: bool) -> dict[int, _Mechanism]:
        """The schemes of the key for which the token has a mechanism, and which."""
        names = {getattr(one, "name", "") for one in slot.get_mechanisms()}
        usable = _mechanisms(signatures.schemes_for(self._public_key), names)
        if not usable and legacy:
            fitting = [scheme for scheme in _PKCS1_SCHEMES if signatures.scheme_fits(self._public_key, scheme)]
            usable = _mechanisms(fitting, names)
        if not usable:
            pkcs1_only = self._public_key.kind.startswith("RSA") and any("RSA_PKCS" in name for name in names)
            code = "token_pkcs1_only" if pkcs1_only else "token_mechanism"
            raise ConfigError(code, uri=self.uri, key=self._public_key.name)
        return usable

    def _token(self) -> Any:
        """The one token that the URI names."""
        pkcs11 = self._module.pkcs11
        tokens = []
        for slot in self._module.library.get_slots(token_present=True):
            try:
                token = slot.get_token()
            except (pkcs11.TokenNotPresent, pkcs11.TokenNotRecognised):
                continue
            # A blank one, as SoftHSM always has one, holds nothing.
            if token.label or token.flags & pkcs11.TokenFlag.TOKEN_INITIALIZED:
                tokens.append(token)
        found = [token for token in tokens if _matches(self.uri, token, self._module.library)]
        if len(found) != 1:
            labels = ", ".join(sorted(repr(escape(token.label)) for token in found or tokens)) or "none"
            fit = "several tokens fit" if found else "no token fits"
            raise ConfigError("no_token", fit=fit, uri=self.uri, module=self._module.path, tokens=labels)
        return found[0]

    def _open_key(self) -> Any:
        """The private key, in a session of its own, logged in if that is needed to see it."""
        token = self._token()
        if not self._must_log_in:
            session = token.open()
            keys = self._keys(session)
            if keys:
                return self._only(keys)
            session.close()
        return self._only(self._keys(self._log_in(token)))

    def _keys(self, session: Any) -> list[Any]:
        names = self._module.pkcs11.Attribute
        wanted: dict[Any, Any] = {names.CLASS: self._module.pkcs11.ObjectClass.PRIVATE_KEY}
        if "object" in self.uri.attributes:
            wanted[names.LABEL] = self.uri.attributes["object"]
        if self.uri.id is not None:
            wanted[names.ID] = self.uri.id
        return list(session.get_objects(wanted))

    def _only(self, keys: list[Any]) -> Any:
        if len(keys) != 1:
            raise ConfigError("several_token_keys" if keys else "no_token_key", uri=self.uri, count=len(keys))
        try:
            self._asks_each_time = bool(keys[0][self._module.pkcs11.Attribute.ALWAYS_AUTHENTICATE])
        except self._module.pkcs11.AttributeTypeInvalid:
            self._asks_each_time = False
        return keys[0]

    def _log_in(self, token: Any) -> Any:
        pkcs11 = self._module.pkcs11
        pin: Any = self._pin_text()
        if pin is None and token.flags & pkcs11.TokenFlag.PROTECTED_AUTHENTICATION_PATH:
            pin = pkcs11.PROTECTED_AUTH
        if pin is None:
            raise ConfigError("pin_needed", uri=self.uri)
        with self._giving_pin():
            try:
                return token.open(user_pin=pin)
            except pkcs11.UserAlreadyLoggedIn:
                return token.open()

    @contextmanager
    def _giving_pin(self) -> Iterator[None]:
        """Around whatever tells the token the PIN: once it was refused, nothing does any more."""
        pkcs11 = self._module.pkcs11
        if self._pin_refused:
            raise ConfigError("pin_wrong", uri=self.uri)
        try:
            yield
        except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange):
            self._pin_refused = True
            raise ConfigError("pin_wrong", uri=self.uri) from None
        except (pkcs11.PinLocked, pkcs11.PinExpired) as error:
            raise ConfigError("pin_locked", uri=self.uri, reason=_reason(error)) from None

    def _pin_text(self) -> str | None:
        given = self._pin()
        try:
            return None if given is None else given.decode()
        except UnicodeDecodeError:
            raise ConfigError("token_failed", uri=self.uri, reason="the PIN that was given is not UTF-8") from None


class _Module:
    """A loaded module. ``lock`` is held during each call into it."""

    lock: threading.RLock

    def __init__(self, path: str, pkcs11: Any, library: Any) -> None:
        self.path = path
        self.pkcs11 = pkcs11
        self.library = library
        renew_in_children(self, lock=threading.RLock)


class _Modules(dict[str, _Module]):
    """The modules that this process loaded, by path; ``lock`` is held while one is loaded."""

    lock: threading.Lock

    def __init__(self) -> None:
        super().__init__()
        renew_in_children(self, lock=threading.Lock)


_modules = _Modules()


def _module_for(uri: Pkcs11Uri, explicit: str | None) -> _Module:
    """The module for this URI, loaded once per process."""
    candidates: Iterable[str]
    if chosen := explicit or uri.module_path:
        candidates = (chosen,)
    elif uri.module_name:
        candidates = (f"{uri.module_name}.so", f"lib{uri.module_name}.so")
    elif chosen := os.environ.get(MODULE_VARIABLE):
        candidates = (chosen,)
    else:
        candidates = _PROXIES
    with _modules.lock:
        return _load(tuple(candidates))


def _load(candidates: tuple[str, ...]) -> _Module:
    try:
        pkcs11 = import_module("pkcs11")
    except ImportError:
        raise ConfigError("pkcs11_not_installed") from None
    reason = ""
    for path in candidates:
        if path not in _modules:
            try:
                _modules[path] = _Module(path, pkcs11, pkcs11.lib(path))
            except (pkcs11.PKCS11Error, OSError) as error:
                reason = reason or _reason(error)
                continue
        return _modules[path]
    raise ConfigError("bad_pkcs11_module", path=escape(candidates[0]), reason=escape(reason))


def _mechanisms(schemes: Iterable[int], names: Collection[str]) -> dict[int, _Mechanism]:
    """Those of the schemes for which one of the mechanisms with these names will do, and which."""
    return {
        scheme: how
        for scheme in schemes
        if (how := next((one for one in _MECHANISMS.get(scheme, ()) if one.name in names), None)) is not None
    }


def _matches(uri: Pkcs11Uri, token: Any, library: Any) -> bool:
    """Whether the URI's attributes are this token's. RFC 7512 2.5."""
    slot = token.slot
    found: dict[str, Callable[[], str]] = {
        "token": lambda: token.label,
        "manufacturer": lambda: token.manufacturer_id,
        "serial": lambda: token.serial.decode("utf-8", "replace").strip("\0 "),
        "model": lambda: token.model,
        "slot-id": lambda: str(slot.slot_id),
        "slot-manufacturer": lambda: slot.manufacturer_id,
        "slot-description": lambda: slot.slot_description,
        "library-manufacturer": lambda: library.manufacturer_id,
        "library-description": lambda: library.library_description,
        "library-version": partial(_version, library.library_version, uri.attributes.get("library-version", "")),
    }
    return all(found[name]().strip() == value for name, value in uri.attributes.items() if name in found)


def _version(version: tuple[int, int], wanted: str) -> str:
    """The version in the form in which it is asked for: "2" means 2.0."""
    major, minor = version
    return str(major) if minor == 0 and "." not in wanted else f"{major}.{minor}"


def _reason(error: Exception) -> str:
    """PKCS#11 errors are classes, mostly without a word: PinLocked."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
