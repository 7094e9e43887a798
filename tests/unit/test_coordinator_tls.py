"""The lease API behind TLS and tokens, as it is served beyond the loopback."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bars.errors import InvalidValueError
from coordinator._service.api.api import ApiOptions
from coordinator._service.api.auth import Role, Tokens
from coordinator._service.api.server import tls_context
from coordinator.client import (
    Budget,
    ClientOptions,
    CommandRefusedError,
    CoordinatorUnavailableError,
    DistributedBackfillCoordinator,
)
from tests.unit.api_help import serving

WORKER, READER = "w" * 40, "r" * 40
PATIENCE = Budget(whole_s=1.0, attempt_s=0.5)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 that is its own authority, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "coordinator")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "api.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "api.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "api.pem", folder / "api.key"


def options(files: tuple[Path, Path]) -> ApiOptions:
    return ApiOptions(
        tls=tls_context(*files),
        trust=ssl.create_default_context(cafile=files[0]),
        tokens=Tokens.of([(WORKER, Role.WORKER), (READER, Role.READER)]),
    )


async def test_who_trusts_the_authority_and_has_a_token_is_served(
    files: tuple[Path, Path],
) -> None:
    async with serving(2, options=options(files)) as service:
        asking = ClientOptions(token=WORKER, tls_ca=files[0], clock=service.clock)
        async with DistributedBackfillCoordinator(service.urls[::-1], asking) as client:
            await client.open_session("w", 60_000)
            claim = await client.claim("n:60:0:600:w:x", 60_000)
            assert claim is not None
            await client.complete(claim)
        assert list(service.nodes[0].log.state().sessions) == ["w"]


async def test_a_follower_hands_a_claim_on_with_the_clients_own_token(
    files: tuple[Path, Path],
) -> None:
    async with serving(2, options=options(files)) as service:
        follower = service.urls[1:]
        for token, served in ((WORKER, True), (READER, False)):
            asking = ClientOptions(token=token, tls_ca=files[0], clock=service.clock)
            async with DistributedBackfillCoordinator(follower, asking) as client:
                if served:
                    assert await client.claim("n:60:0:600:w:x", 60_000) is not None
                else:
                    with pytest.raises(CommandRefusedError, match="role must be worker"):
                        await client.claim("n:60:0:600:w:y", 60_000)


@pytest.mark.parametrize("token", [None, "x" * 40])
async def test_who_has_no_token_of_ours_is_refused_at_once(
    files: tuple[Path, Path], token: str | None
) -> None:
    async with serving(options=options(files)) as service:
        asking = ClientOptions(token=token, tls_ca=files[0], clock=service.clock)
        async with DistributedBackfillCoordinator(service.urls, asking) as client:
            with pytest.raises(CommandRefusedError) as error:
                await client.open_session("w", 60_000)
        assert error.value.code == "unauthorized"


async def test_who_does_not_trust_the_authority_shows_its_token_to_nobody(
    files: tuple[Path, Path],
) -> None:
    async with serving(options=options(files)) as service:
        asking = ClientOptions(token=WORKER, budget=PATIENCE)
        async with DistributedBackfillCoordinator(service.urls, asking) as client:
            with pytest.raises(CoordinatorUnavailableError, match="certificate"):
                await client.open_session("w", 60_000)


async def test_plain_http_gets_nothing_from_a_port_with_tls(files: tuple[Path, Path]) -> None:
    async with serving(options=options(files)) as service:
        plain = [url.replace("https", "http") for url in service.urls]
        asking = ClientOptions(token=WORKER, budget=PATIENCE)
        async with DistributedBackfillCoordinator(plain, asking) as client:
            with pytest.raises(CoordinatorUnavailableError):
                await client.open_session("w", 60_000)
        assert not service.nodes[0].log.state().sessions


def test_files_that_do_not_belong_together_are_refused(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(InvalidValueError, match="a certificate and its key"):
        tls_context(files[1], files[0])
    with pytest.raises(InvalidValueError, match="nowhere"):
        tls_context(tmp_path / "nowhere", files[1])
