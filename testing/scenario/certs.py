"""Certificates of a test's own: an authority, and what it vouches for. Also used by testing/bench."""
import base64
import datetime
import hashlib
import ipaddress
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM


class Cert:
    """A certificate with its key; `files(folder, name)` writes both and says where they are."""

    def __init__(self, names=(), issuer=None, authority=False, days=(-1, 90)):
        self.key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority" if authority else "peer")])
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.x.subject if issuer else subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=days[0]))
            .not_valid_after(now + datetime.timedelta(days=days[1]))
        )
        for extension, critical in self.extensions(issuer or self, authority):
            builder = builder.add_extension(extension, critical)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(map(alternative, names)), False)
        self.x = builder.sign((issuer or self).key, hashes.SHA256())

    def extensions(self, issuer, authority):
        """What strict clients want to see."""
        yield x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False
        yield x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), False
        if authority:
            yield x509.BasicConstraints(True, None), True
            yield x509.KeyUsage(False, False, False, False, False, True, True, False, False), True

    @property
    def pem(self):
        return self.x.public_bytes(PEM).decode()

    @property
    def key_pem(self):
        return self.key.private_bytes(
            PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    @property
    def chain_pin(self):
        """What pinnedPeerCertificateChainSha256 holds, when the server shows only this one."""
        return base64.b64encode(self.digest).decode()

    @property
    def digest(self):
        return hashlib.sha256(self.x.public_bytes(serialization.Encoding.DER)).digest()

    def files(self, folder, name):
        """The object for `certificates`: a server's, or a client's own."""
        cert, key = os.path.join(folder, name + ".pem"), os.path.join(folder, name + ".key")
        replace(cert, self.pem)
        replace(key, self.key_pem)
        return {"certificateFile": cert, "keyFile": key}

    def trusted(self, folder, name):
        """The object for `certificates` of who believes this one."""
        path = os.path.join(folder, name + ".pem")
        replace(path, self.pem)
        return {"usage": "verify", "certificateFile": path}


def alternative(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def replace(path, text):
    """Writes the file as a whole, in place of one that is there."""
    with open(path + ".new", "w", encoding="ascii", opener=lambda p, f: os.open(p, f, 0o600)) as f:
        f.write(text)
    os.rename(path + ".new", path)
