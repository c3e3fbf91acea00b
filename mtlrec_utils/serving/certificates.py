"""A local authority and a server certificate.

For a course, a laptop, a closed network: clients are given the authority's
certificate and trust nothing else. The authority signs one certificate and
its key is thrown away, so there is nothing to steal; a new certificate means
a new authority. On the open internet use a public authority instead and pass
its files to the server.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mtlrec_utils.whole_file import whole_file

_MARGIN = datetime.timedelta(minutes=5)  # clocks differ


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files.

    Attributes:
        authority: what clients trust; not secret.
        certificate: of the server.
        key: of the server; only its owner may read it.
    """

    authority: Path
    certificate: Path
    key: Path


def certificates(
    folder: str | os.PathLike[str],
    names: tuple[str, ...] = ("localhost", "127.0.0.1", "::1"),
    days: float = 30,
) -> Certificates:
    """Return the certificates of a folder, made anew if they have run out.

    Args:
        folder: where they are kept.
        names: host names and addresses under which the server is called.
        days: that new ones last.

    Raises:
        ValueError: no name, or no day.
    """
    if not names or not days > 0:
        raise ValueError(f"names={names!r}, days={days}: give some of both.")
    place = Path(folder)
    found = Certificates(
        place / "authority.pem", place / "server.pem", place / "server.key"
    )
    if not _good(found, names):
        _make(found, names, datetime.timedelta(days=days))
    return found


def client_context(authority: str | os.PathLike[str]) -> ssl.SSLContext:
    """Return TLS settings of a client that trusts one authority only."""
    context = ssl.create_default_context(cafile=os.fspath(authority))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _good(found: Certificates, names: tuple[str, ...]) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(
            found.certificate.read_bytes()
        )
        authority = x509.load_pem_x509_certificate(
            found.authority.read_bytes()
        )
        key = serialization.load_pem_private_key(
            found.key.read_bytes(), password=None
        )
        certificate.verify_directly_issued_by(authority)
        held = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value
    except Exception:  # missing, cut off, of another make: make new ones
        return False
    now = datetime.datetime.now(datetime.UTC)
    return (
        certificate.public_key() == key.public_key()
        and now + _MARGIN < certificate.not_valid_after_utc
        and set(map(_name, names)) <= set(held)
    )


def _make(
    found: Certificates, names: tuple[str, ...], life: datetime.timedelta
) -> None:
    authority_key = ec.generate_private_key(ec.SECP256R1())
    server_key = ec.generate_private_key(ec.SECP256R1())
    issuer = _subject("mtlrec local authority")
    authority = (
        _builder(issuer, issuer, authority_key.public_key(), life)
        .add_extension(x509.BasicConstraints(True, 0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(
        authority_key.public_key()
    )
    server = (
        _builder(_subject(names[0]), issuer, server_key.public_key(), life)
        .add_extension(x509.BasicConstraints(False, None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
            critical=False,
        )
        .add_extension(
            x509.SubjectAlternativeName([_name(name) for name in names]),
            critical=False,
        )
        .add_extension(identifier, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    private = server_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    pem = serialization.Encoding.PEM
    # The certificate last: a half-made set does not pass ``_good``.
    for path, content, mode in (
        (found.authority, authority.public_bytes(pem), 0o644),
        (found.key, private, 0o600),
        (found.certificate, server.public_bytes(pem), 0o644),
    ):
        with whole_file(path, mode) as part:
            part.write_bytes(content)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    life: datetime.timedelta,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _MARGIN)
        .not_valid_after(now + life)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(public_key),
            critical=False,
        )
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )
