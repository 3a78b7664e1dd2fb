"""The samples for Android, Windows and iOS, as far as this machine can check them.

Android's is compiled by Kotlin's own compiler against stubs of Android, and the part that needs no Android is run as a
device of the product. Windows' is compiled by Mono's against stubs of the Windows App SDK. Swift's compiler is in no
registry that we reach: there the grammar alone is checked.
"""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import tree_sitter_swift
from tree_sitter import Language, Node, Parser

from tests import servers
from tests.journey.production import Production, Record
from tests.long.conftest import INSTALL, INSTALL_S
from tests.processes import ROOT, spawn

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

CLIENTS = ROOT / "clients"
ORG_JSON = Path("/usr/share/java/com.android.json.jar")
COMPILE_S = 400.0


def skip_without(program: str, package: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is missing (Debian: {package})")


@pytest.fixture(scope="module")
def android(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A jar of the whole sample, and of what is to run without Android."""
    skip_without("npm", "npm")
    skip_without("java", "default-jre-headless")
    if not ORG_JSON.exists():
        pytest.skip("Android's org.json is missing (Debian: libandroid-json-java)")
    folder = tmp_path_factory.mktemp("android")
    for file in (CLIENTS / "android" / "check").glob("package*.json"):
        shutil.copy(file, folder)
    spawn("npm", INSTALL, folder=folder, cwd=folder).finish(INSTALL_S)
    compiler = folder / "node_modules" / "kotlin-compiler" / "bin" / "kotlinc-jvm"
    sources = [CLIENTS / "android" / "app" / "src" / "main" / "kotlin", CLIENTS / "android" / "check"]
    options = ["-Werror", "-jvm-target", "17", "-cp", str(ORG_JSON), "-include-runtime"]
    command: list[str | Path] = ["bash", compiler, *options, "-d", folder / "sample.jar", *sources]
    spawn("kotlinc", command, folder=folder).finish(COMPILE_S)
    return folder / "sample.jar"


@pytest.fixture(scope="module")
def product(postgres: servers.Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    """A web process: the inbox needs no more."""
    folder, database_url = tmp_path_factory.mktemp("product"), postgres.create_database("samples")
    with (
        servers.Redis() as redis,
        Production(
            folder, database_url=database_url, redis_url=redis.url, mqtt_url="", settings={"WEB_WORKERS": "1"}
        ) as production,
    ):
        production.prepare(1)
        production.start("web").wait_for_url(f"{production.url}/livez")
        yield production


def test_the_android_sample_is_a_device_of_the_product(android: Path, product: Production, tmp_path: Path) -> None:
    api = product.prepare(1)
    bootstrap_key = (product.folder / "bootstrap-key").read_text(encoding="utf-8").strip()
    command = ["java", "-cp", f"{android}:{ORG_JSON}", "org.homepot.check.DeviceKt"]
    arguments = [product.url, "site-001", bootstrap_key, str(tmp_path)]

    with subprocess.Popen([*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as device:
        assert device.stdout is not None
        device_id = device.stdout.readline().strip()
        order = {"device_id": device_id, "title": "Grüße", "body": "2.1"}
        message_id = api.call("POST", "/push/send", order).body["message_id"]
        said, _ = device.communicate("\n", timeout=60)

    record = Record(product.database_url)
    [message] = record.rows("SELECT status FROM push_notification_logs WHERE message_id = %s", message_id)
    [channel] = record.rows("SELECT provider, address FROM delivery_channel")
    record.close()
    assert said.splitlines() == [f"shown {message_id} Grüße", "waiting 0"]
    assert message["status"] == "delivered"
    assert channel == {"provider": "mqtt", "address": "android-check"}


def test_the_windows_sample_compiles(tmp_path: Path) -> None:
    skip_without("mcs", "mono-mcs")
    folder = CLIENTS / "windows"
    sources = [*(folder / "Agent").glob("*.cs"), *(folder / "check" / "stubs").glob("*.cs")]
    options = ["-langversion:latest", "-warn:4", "-warnaserror", "-target:library", f"-out:{tmp_path / 'agent.dll'}"]
    parts = ["-r:System.Net.Http.dll", "-r:System.Security.dll"]

    spawn("mcs", ["mcs", *options, *parts, *sources], folder=tmp_path).finish()

    assert (tmp_path / "agent.dll").stat().st_size > 0


@pytest.mark.parametrize("file", sorted((CLIENTS / "ios").rglob("*.swift")), ids=lambda file: file.stem)
def test_the_ios_sample_keeps_to_the_grammar(file: Path) -> None:
    tree = Parser(Language(tree_sitter_swift.language())).parse(file.read_bytes())

    assert [
        f"line {node.start_point[0] + 1}" for node in nodes(tree.root_node) if node.is_error or node.is_missing
    ] == []


def nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from nodes(child)
