"""What README.md and docs/ say of commands, settings, configs and files is true of the program as it is."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest
import typer
import yaml

from glora_search.cli import app
from glora_search.settings import CampaignSettings, parse, read_config
from supernet import tables
from supernet.settings import Settings

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "benchmarks" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
FENCE = re.compile(r"^ *```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^ *```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
DOTTED = re.compile(r"(?P<name>[a-z_]+(\.[a-z_]+)+)(\s*[:=].*)?")
LINK = re.compile(r"\]\((?P<to>[^)\s]+)\)")
PLACEHOLDER = re.compile(r"[A-Z]{2,}")  # NAME, ID, DIR


def _generator(name: str = "generate_configuration") -> ModuleType:
    """A script of docs, which is in no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Block(NamedTuple):
    where: str  # page and line
    language: str
    body: str


def blocks() -> Iterator[Block]:
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 2
            yield Block(f"{path.relative_to(ROOT)}:{line}", match["language"], match["body"])


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """(where, arguments) of each line `glora-search ...` in a fenced block, up to a pipe or the like."""
    for block in blocks():
        for line in block.body.replace("\\\n", " ").splitlines():
            start = re.match(r"\s*(\$ )?(\w+=\S* )*(\.venv/bin/)?glora-search (?P<rest>.*)", line)
            if start and block.language != "python":
                yield f"{block.where}: {line.strip()}", list(takewhile(is_argument, words(start["rest"])))


def words(line: str) -> list[str]:
    """As a shell splits them, with `|`, `>`, `&&` as words of their own."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    return list(lexer)


def is_argument(word: str) -> bool:
    return not set(word) <= set("|&;<>")


def settings() -> set[str]:
    """The dotted name of every setting, and of every group of them."""
    names = set(CampaignSettings.model_fields)
    for key, field in CampaignSettings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            names |= {f"{key}.{name}" for name in field.annotation.model_fields}
    return names


def parsed(arguments: list[str]) -> dict[str, Any]:
    """The parameters of a command line, read as the program reads it. Raises click's UsageError."""
    arguments = ["1" if PLACEHOLDER.fullmatch(argument) else argument for argument in arguments]
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands") and arguments and not arguments[0].startswith("-"):
        name, *arguments = arguments
        assert name in command.commands, f"there is no command {name!r}"
        command = command.commands[name]
    parameters: dict[str, Any] = command.make_context(command.name, arguments).params
    return parameters


def ids(lines: list[tuple[str, list[str]]]) -> list[str]:
    return [where for where, _ in lines]


LINES = list(command_lines())


@pytest.mark.parametrize("arguments", [arguments for _, arguments in LINES], ids=ids(LINES))
def test_a_command_line_in_the_docs_parses(arguments: list[str]) -> None:
    parameters = parsed(arguments)
    overridden = {override.partition("=")[0] for override in parameters.get("override") or ()}
    assert overridden <= settings()
    config = parameters.get("config")
    if config is not None and config.parts[0] == "examples":
        read_config(ROOT / config, parameters["override"] or (), parameters.get("name"))


@pytest.mark.parametrize("line", ["candidates digits --wher x", "show digits", "lanch examples/digits.yaml"])
def test_a_command_line_that_is_wrong_would_be_found(line: str) -> None:
    with pytest.raises(Exception, match=r"No such option|Missing|no command"):
        parsed(line.split())


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_dotted_name_of_a_setting_exists(path: Path) -> None:
    for span in SPAN.findall(FENCE.sub("", path.read_text(encoding="utf-8"))):
        match = DOTTED.fullmatch(span)
        if match and match["name"].partition(".")[0] in CampaignSettings.model_fields and not is_code(match["name"]):
            assert match["name"] in settings(), f"`{span}`"


def is_code(name: str) -> bool:
    """Whether a dotted name is a module or a file of ours, such as `workers.pool` or `workers.py`."""
    return name.endswith((".py", ".json", ".yaml")) or (ROOT / f"{name.replace('.', '/')}.py").is_file()


def test_every_config_in_the_docs_parses() -> None:
    for block in blocks():
        values = yaml.safe_load(block.body) if block.language in ("yaml", "yml") else None
        if isinstance(values, dict) and {"name", "backbone"} <= values.keys():
            parse(values, block.where)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_parses(path: Path) -> None:
    read_config(path)


def test_examples_have_names_of_their_own() -> None:
    names = [read_config(path).name for path in EXAMPLES]
    assert len(set(names)) == len(names) >= 3


def test_the_page_of_settings_is_what_the_classes_say() -> None:
    generator = _generator()
    assert generator.TARGET.read_text(encoding="utf-8") == generator.page(), "run `make docs`"


@pytest.fixture
def methods(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(ROOT / "docs")
    yield _generator("generate_methods")
    sys.modules.pop("method_picture")


def test_the_pages_of_methods_are_what_the_tables_say(methods: ModuleType) -> None:
    written = dict(methods.pages())
    for path, text in written.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run `make docs`"
    pictures = set((ROOT / "docs" / "methods" / "images").iterdir())
    assert pictures <= written.keys(), "no picture of a table that is gone"


def test_every_table_has_one_page(methods: ModuleType) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in methods.FOLDER.glob("*.md"))
    marked = " ".join(re.findall(r"^<!-- tables: ([\w ]+) -->$", text, re.MULTILINE)).split()
    assert sorted(marked) == sorted(tables.TABLES)
    assert methods.described().keys() == set(tables.TABLES)


@pytest.mark.parametrize("name", tables.TABLES)
def test_a_picture_names_each_gene_of_its_table(name: str) -> None:
    text = (ROOT / "docs" / "methods" / "images" / f"{name}.svg").read_text(encoding="utf-8")
    words = {word for label in re.findall(r">([^<>]+)</text>", text) for word in label.split()}
    assert {row.gene for row in tables.TABLES[name]} <= words
    ElementTree.fromstring(text)


def test_every_setting_is_on_that_page() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert [name for name in sorted(settings()) if f"`{name}`" not in text] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_link_to_a_file_leads_there(path: Path) -> None:
    for match in LINK.finditer(FENCE.sub("", path.read_text(encoding="utf-8"))):
        target, _, anchor = match["to"].partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        found = path.parent / target if target else path
        assert found.exists(), match["to"]
        if anchor:
            assert anchor in anchors(found), match["to"]


def anchors(path: Path) -> set[str]:
    """As code hosts make them of headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_python_in_the_docs_compiles() -> None:
    for block in blocks():
        if block.language == "python":
            compile(block.body, block.where, "exec")
