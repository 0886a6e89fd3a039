"""The site builds without a warning, and no command on it has a flag that is not."""

import importlib.util
import shutil

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from pages import PAGES, ROOT, commands


def load_hooks():
    path = ROOT / "docs" / "hooks.py"
    spec = importlib.util.spec_from_file_location("site_hooks", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hooks = load_hooks()


def parse(words):
    program, *rest = words
    helps = hooks.helps(hooks.scripts()[program])
    job = rest.pop(0) if "" not in helps else ""
    if "--help" not in rest:
        groups = helps[job]
        left = groups.flags([program, *rest])[1:]
        assert left == [], f"{words}: not understood: {left}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_on_the_page_can_be_parsed(page):
    for words in commands(page.read_text()):
        parse(words)


def test_commands_are_found():
    pages = [page.read_text() for page in PAGES]
    assert len([words for page in pages for words in commands(page)]) > 40
    assert list(
        commands("```sh\nA=1 .venv/bin/adapters-tf-train \\\n  --seed=1\n```")
    ) == [["adapters-tf-train", "--seed=1"]]


def test_unknown_flags_are_found():
    with pytest.raises(Exception, match="Unknown command line flag 'sed'"):
        parse(["adapters-tf-train", "--sed=1"])
    with pytest.raises(KeyError, match="bse"):
        parse(["adapters-tf-export", "bse"])


def test_every_program_is_on_the_page_of_programs():
    page = hooks.programs()
    for name in hooks.scripts():
        assert f"\n## {name}\n" in page
    assert "--bottleneck_dim       units of an adapter's bottleneck [64]" in page
    assert "\n### adapters-tf-export rollback\n" in page


@pytest.mark.checks
def test_site_builds_without_a_warning(tmp_path, monkeypatch):
    # Its authors' notice about a later version of MkDocs.
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    config = load_config(
        str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(tmp_path / "site")
    )
    # As `mkdocs build` does, in a checkout without earlier builds.
    shutil.rmtree(ROOT / "build" / "site_source", ignore_errors=True)
    config.plugins.on_startup(command="build", dirty=False)
    build(config)
    index = (tmp_path / "site" / "index.html").read_text()
    assert 'href="training.html"' in index
    models = (tmp_path / "site" / "reference" / "models.html").read_text()
    assert "base_fingerprint" in models and "AdapterFileError" in models
