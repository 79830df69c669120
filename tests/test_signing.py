"""Content Credentials: signed with a test archive's certificate, and read back by C2PA's own reader."""

import datetime
import io
import json
from collections.abc import Callable
from pathlib import Path

import c2pa
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image
from typer.testing import CliRunner, Result

from manuscript_restore.cli import app
from manuscript_restore.inference import Restorer
from tests import stand_in

TYPES = {"jpg": "image/jpeg", "png": "image/png", "tif": "image/tiff", "webp": "image/webp"}
ENHANCED = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicallyEnhanced"


def name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "An archive"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def certificate(subject: str, key: object, issuer: str, issuer_key: object, *, ca: bool) -> x509.Certificate:
    public, issuer_public = key.public_key(), issuer_key.public_key()  # type: ignore[attr-defined]
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime(2020, 1, 1))
        .not_valid_after(datetime.datetime(2090, 1, 1))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_public), critical=False)
        .add_extension(x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False), critical=True)
    )
    if not ca:
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
        )
    return builder.sign(issuer_key, hashes.SHA256())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Callable[[object], tuple[Path, Path, str]]:
    """Makes (chain, key, root certificate) for a key."""
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = certificate("Root", root_key, "Root", root_key, ca=True)

    def make(key: object) -> tuple[Path, Path, str]:
        folder = tmp_path_factory.mktemp("archive")
        leaf = certificate("Signer", key, "Root", root_key, ca=False)
        (folder / "chain.pem").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
        (folder / "key.pem").write_bytes(
            key.private_bytes(  # type: ignore[attr-defined]
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL
                if isinstance(key, ec.EllipticCurvePrivateKey)
                else serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        pem = root.public_bytes(serialization.Encoding.PEM).decode()
        return folder / "chain.pem", folder / "key.pem", pem

    return make


@pytest.fixture(autouse=True)
def stand_in_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Restorer, "from_checkpoint", stand_in.load)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "1.png"
    Image.fromarray(np.random.default_rng(0).integers(60, 200, (90, 130, 3), dtype=np.uint8)).save(path)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["restore", *map(str, arguments)], catch_exceptions=False)


def read(path: Path, root: str, data: bytes | None = None) -> tuple[dict, str]:
    """The active manifest by C2PA's reader, which trusts one root, and what it says of the whole."""
    settings = {"trust": {"trust_anchors": root}, "verify": {"verify_trust": True, "remote_manifest_fetch": False}}
    stream = io.BytesIO(path.read_bytes() if data is None else data)
    with (
        c2pa.Context.from_dict(settings) as context,
        c2pa.Reader(TYPES[path.suffix[1:]], stream, context=context) as reader,
    ):
        found = json.loads(reader.json())
        return found["manifests"][found["active_manifest"]], reader.get_validation_state()


@pytest.mark.parametrize("suffix", TYPES)
def test_a_signed_page_is_trusted_and_a_changed_one_is_not(
    archive, scan: Path, tmp_path: Path, suffix: str
) -> None:
    chain, key, root = archive(ec.generate_private_key(ec.SECP256R1()))
    out = tmp_path / f"out.{suffix}"
    result = run(scan, "-o", out, "--sign-cert", chain, "--sign-key", key, "--sidecar")
    assert result.exit_code == 0, result.stderr
    manifest, state = read(out, root)
    assert state == "Trusted"
    (actions,) = (a["data"]["actions"] for a in manifest["assertions"] if a["label"].startswith("c2pa.actions"))
    assert [action["action"] for action in actions] == ["c2pa.opened", "c2pa.edited"]
    assert actions[1]["digitalSourceType"] == ENHANCED
    (ingredient,) = manifest["ingredients"]
    assert (ingredient["title"], ingredient["relationship"]) == ("1.png", "parentOf")
    assert manifest["claim_generator_info"][0]["name"] == "manuscript-restore"
    data = bytearray(out.read_bytes())
    with Image.open(out) as picture:
        assert picture.size == (130, 90)
    place = data.rindex(b"IDAT") + 2000 if suffix == "png" else data.find(b"VP8 ") + 900 if suffix == "webp" else 0
    place = place or (1000 if suffix == "tif" else len(data) - 900)
    data[place] ^= 1
    assert read(out, root, bytes(data))[1] == "Invalid"


@pytest.mark.parametrize("key", [ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)])
def test_other_keys_sign_too(archive, scan: Path, tmp_path: Path, key: object) -> None:
    chain, path, root = archive(key)
    assert run(scan, "-o", tmp_path / "out.jpg", "--sign-cert", chain, "--sign-key", path).exit_code == 0
    assert read(tmp_path / "out.jpg", root)[1] == "Trusted"


def test_credentials_of_the_source_stay_in_the_chain(archive, scan: Path, tmp_path: Path) -> None:
    chain, key, root = archive(ec.generate_private_key(ec.SECP256R1()))
    first, second = tmp_path / "first.png", tmp_path / "second.png"
    for source, target in ((scan, first), (first, second)):
        assert run(source, "-o", target, "--sign-cert", chain, "--sign-key", key).exit_code == 0
    manifest, state = read(second, root)
    assert state == "Trusted"
    assert manifest["ingredients"][0]["active_manifest"] == read(first, root)[0]["label"]


def test_jpeg_2000_cannot_be_signed(archive, scan: Path, tmp_path: Path) -> None:
    chain, key, _ = archive(ec.generate_private_key(ec.SECP256R1()))
    result = run(scan, "-o", tmp_path / "out.jp2", "--sign-cert", chain, "--sign-key", key)
    assert result.exit_code == 1
    assert "JPEG2000 cannot be signed; give --format tif" in " ".join(result.stderr.split())
    assert not (tmp_path / "out.jp2").exists()


def test_a_pdf_cannot_be_signed(archive, scan: Path, tmp_path: Path) -> None:
    chain, key, _ = archive(ec.generate_private_key(ec.SECP256R1()))
    Image.open(scan).save(tmp_path / "book.pdf")
    result = run(tmp_path / "book.pdf", "-o", tmp_path / "out", "--sign-cert", chain, "--sign-key", key)
    assert result.exit_code == 1
    said = " ".join(result.stderr.split())
    assert "a PDF cannot be signed; leave it or --sign-cert out" in said
    assert "--format" not in said  # a PDF stays one


def test_a_source_in_jpeg_2000_is_named(archive, scan: Path, tmp_path: Path) -> None:
    chain, key, root = archive(ec.generate_private_key(ec.SECP256R1()))
    source = tmp_path / "1.jp2"
    Image.open(scan).save(source)
    result = run(source, "-o", tmp_path / "out.tif", "--sign-cert", chain, "--sign-key", key)
    assert result.exit_code == 0, result.stderr
    assert read(tmp_path / "out.tif", root)[0]["ingredients"][0]["title"] == "1.jp2"


def test_wrong_certificates_get_a_clear_word(
    archive, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, key, _ = archive(ec.generate_private_key(ec.SECP256R1()))
    _, other, _ = archive(ec.generate_private_key(ec.SECP256R1()))
    out = tmp_path / "out.png"

    def said(*arguments: object) -> str:
        result = run(scan, "-o", out, *arguments)
        assert result.exit_code == 1
        assert not out.exists()
        return " ".join(result.stderr.split())

    assert "give both" in said("--sign-cert", chain)
    assert "cannot be read (No such file" in said("--sign-cert", tmp_path / "none", "--sign-key", key)
    assert "holds no certificate" in said("--sign-cert", key, "--sign-key", key)
    assert "cannot be used" in said("--sign-cert", chain, "--sign-key", chain)
    monkeypatch.setattr(Restorer, "from_checkpoint", lambda *_, **__: pytest.fail("told after the work has begun"))
    assert "check it and its key" in said("--sign-cert", chain, "--sign-key", other)
    (tmp_path / "spoilt.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert "check it and its key" in said("--sign-cert", tmp_path / "spoilt.pem", "--sign-key", key)
    assert list(tmp_path.glob(".*")) == []
