"""Content Credentials (C2PA 2): pages signed with the archive's own certificate, on this machine alone."""

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from PIL import Image

from manuscript_restore.archive.xmp import ENHANCED, Mark
from manuscript_restore.errors import UserError
from manuscript_restore.files import unfinished_name
from manuscript_restore.inference.record import Origin

_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "TIFF": "image/tiff", "WEBP": "image/webp"}
_CREATED = {"action": "c2pa.created", "digitalSourceType": "http://c2pa.org/digitalsourcetype/empty"}
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_OFFLINE = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}
"""A source may name an address where its own credentials lie: nothing is asked there."""


@dataclass(frozen=True)
class Signer:
    """A certificate with its chain and its key, both PEM.

    Args:
        chain: The signer's certificate, then those that vouch for it, without the root.
        key: Its private key.
        algorithm: As C2PA names it: ``es256``.
        name: Of the certificate's file, for messages.
    """

    chain: str
    key: str = field(repr=False)
    algorithm: str
    name: str

    @classmethod
    def of(cls, certificates: Path, key: Path) -> Self:
        """Of the two files.

        Raises:
            UserError: One cannot be read, is no such file or signs nothing, or the extra is missing.
        """
        try:
            import c2pa  # noqa: F401
            from cryptography.hazmat.primitives import serialization
        except ImportError as error:
            raise UserError("signing needs c2pa-python; pip install 'manuscript-restore[sign]'") from error
        texts = []
        for option, path in (("sign-cert", certificates), ("sign-key", key)):
            try:
                texts.append(path.read_text("ascii"))
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "it is no PEM"
                raise UserError(f"--{option} {path}: cannot be read ({reason}); give a PEM file") from error
        if "BEGIN CERTIFICATE" not in texts[0]:
            raise UserError(f"--sign-cert {certificates}: holds no certificate; give a PEM file with its chain")
        try:
            private = serialization.load_pem_private_key(texts[1].encode(), None)
        except Exception as error:  # TypeError of one with a password, ValueError of the rest
            raise UserError(
                f"--sign-key {key}: cannot be used ({error}); give a PEM file of a private key without a password"
            ) from error
        plain = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        signer = cls(texts[0], plain.decode(), _algorithm(private, key), str(certificates))
        signer._try()
        return signer

    def _try(self) -> None:
        """Sign a picture of one pixel: what is wrong with the certificate is told before hours of work."""
        import c2pa

        picture = io.BytesIO()
        Image.new("L", (1, 1)).save(picture, "PNG")
        info = c2pa.C2paSignerInfo(self.algorithm, self.chain.encode(), self.key.encode(), None)
        manifest = json.dumps({"assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [_CREATED]}}]})
        try:
            with (
                c2pa.Context.from_dict(_OFFLINE) as context,
                c2pa.Builder(manifest, context) as builder,
                c2pa.Signer.from_info(info) as signer,
            ):
                builder.sign(signer, "image/png", picture, io.BytesIO())
        except c2pa.C2paError as error:
            raise UserError(f"--sign-cert {self.name}: cannot be used ({error}); check it and its key") from error

    def check(self, format: str, target: Path) -> None:
        """Refuse a format that cannot be signed.

        Raises:
            UserError: It is JPEG 2000 or PDF.
        """
        if format == "PDF":  # which stays one, whatever --format says
            raise UserError(f"{target}: a PDF cannot be signed; leave it or --sign-cert out")
        if format not in _TYPES:
            raise UserError(f"{target}: {format} cannot be signed; give --format tif, or leave --sign-cert out")

    def sign(self, path: Path, format: str, mark: Mark, origin: Origin) -> None:
        """Sign a file in place: edited by a program, out of the source as it is.

        Args:
            path: The file.
            format: Of it, as `archive` names it.
            mark: What was done.
            origin: What it was made from.

        Raises:
            UserError: The certificate or the key is refused.
        """
        import c2pa

        signed = unfinished_name(path)
        try:
            info = c2pa.C2paSignerInfo(self.algorithm, self.chain.encode(), self.key.encode(), None)
            with (
                c2pa.Context.from_dict(_OFFLINE) as context,
                c2pa.Builder(json.dumps(_manifest(mark)), context) as builder,
                c2pa.Signer.from_info(info) as signer,
            ):
                _add_source(builder, origin)
                with path.open("rb") as unsigned, signed.open("w+b") as out:
                    builder.sign(signer, _TYPES[format], unsigned, out)
            signed.replace(path)
        except c2pa.C2paError as error:
            raise UserError(
                f"{origin.file}: cannot be signed with {self.name} ({error}); check the certificate"
            ) from error
        finally:
            signed.unlink(missing_ok=True)


def _algorithm(private: Any, path: Path) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(private, rsa.RSAPrivateKey):
        return "ps256"
    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name in _CURVES:
        return _CURVES[private.curve.name]
    raise UserError(f"--sign-key {path}: C2PA has no such keys; give an Ed25519, NIST curve or RSA key")


def _manifest(mark: Mark) -> dict[str, Any]:
    agent, _, version = mark.agent.partition(" ")
    actions = [
        {"action": "c2pa.opened", "parameters": {"ingredientIds": ["source"]}},
        {
            "action": "c2pa.edited",
            "when": mark.when,
            "softwareAgent": {"name": agent, "version": version},
            "digitalSourceType": ENHANCED,
            "description": mark.parameters,
        },
    ]
    return {
        "claim_generator_info": [{"name": agent, "version": version}],
        "title": mark.source,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }


def _add_source(builder: Any, origin: Origin) -> None:
    ingredient = {
        "title": origin.file.name,
        "relationship": "parentOf",
        "label": "source",
        "description": f"SHA-256 {origin.sha256}",
    }
    with origin.file.open("rb") as file:
        builder.add_ingredient(json.dumps(ingredient), _TYPES.get(origin.format, "image/jp2"), file)
