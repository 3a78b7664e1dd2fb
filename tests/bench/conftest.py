"""The stub that the bench sends to, where this machine can run it."""

import shutil
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bench import stage
from bench.stage import Stage
from bench.stub import MODULE_FOLDERS, PushStub
from tests import servers


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = servers.scratch_folder()
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def started(folder: Path) -> Iterator[Stage]:
    """A stage of which the stub alone runs."""
    if not any((modules / "ngx_http_lua_module.so").exists() for modules in MODULE_FOLDERS):
        pytest.skip("nginx with its Lua module is missing")
    made = Stage(folder)
    with made.stub:
        yield made


@pytest.fixture(scope="module")
def stub(started: Stage) -> PushStub:
    return started.stub


@pytest.fixture(scope="module")
def credentials(stub: PushStub, folder: Path) -> Mapping[str, Mapping[str, Any]]:
    """The settings of the product's `default` credential by provider."""
    tables = tomllib.loads(stage.credentials(stub, folder))
    return {provider: named["default"] for provider, named in tables.items()}
