"""Certificates made for a test, in files as servers and clients take them."""

import datetime as dt
from pathlib import Path

import grpc
import trustme

LONG_AGO = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
YESTERDAY = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)


class Authority:
    """A CA with a folder to write to."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._ca = trustme.CA()
        self._folder = folder
        self.path = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(str(self.path))

    @property
    def pem(self) -> bytes:
        return bytes(self._ca.cert_pem.bytes())

    def write(self, name: str, *names: str, expired: bool = False) -> tuple[Path, Path]:
        """A certificate for these DNS names and addresses; NAME.crt and NAME.key are replaced as one would by hand."""
        leaf = self._leaf(names, expired=expired)
        cert, key = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        cert.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
        key.write_bytes(leaf.private_key_pem.bytes())
        return cert, key

    def channel_credentials(
        self, *names: str, expired: bool = False, signer: "Authority | None" = None
    ) -> grpc.ChannelCredentials:
        """Trusts this CA; shows a certificate of these names, if any, signed by another CA where one is given."""
        if not names:
            return grpc.ssl_channel_credentials(self.pem)
        leaf = (self if signer is None else signer)._leaf(names, expired=expired)
        chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
        return grpc.ssl_channel_credentials(self.pem, leaf.private_key_pem.bytes(), chain)

    def _leaf(self, names: tuple[str, ...], *, expired: bool) -> trustme.LeafCert:
        return self._ca.issue_cert(*names, not_before=LONG_AGO, not_after=YESTERDAY if expired else None)
