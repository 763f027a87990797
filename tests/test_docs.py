"""Documents are tests: their examples run, their links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from stratavfs import VirtualFileSystem, _check, _rules, _sql

REPOSITORY = Path(__file__).parent.parent
REFERENCE = REPOSITORY / "docs" / "reference"

# The changelog tells of the past: its examples need not run any more.
PAGES = [
    page
    for page in (
        REPOSITORY / "README.md",
        REPOSITORY / "ARCHITECTURE.md",
        REPOSITORY / "CONTRIBUTING.md",
        *sorted((REPOSITORY / "docs").rglob("*.md")),
    )
    if page.exists()
]
ALL_PAGES = sorted({*PAGES, *REPOSITORY.glob("*.md")})

FENCE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
ANY_FENCE = re.compile(r"^(```+).*?^\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)")
HEADING = re.compile(r"^#+ (.*?) *#*$", re.MULTILINE)

PUBLIC = sorted(name for name in vars(VirtualFileSystem) if not name.startswith("_"))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def short(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


# --- examples -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "page", [page for page in PAGES if FENCE.search(text_of(page))], ids=short
)
def test_page_examples_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if page.name == "upkeep.md":  # damages a container, to mend it; not to be verified
        monkeypatch.setattr(_check, "is_healthy", lambda store: True)
    scope: dict[str, object] = {"__name__": "__main__"}
    text = text_of(page)

    for block in FENCE.finditer(text):
        # Empty lines before it, so that a failure names the line of the page.
        lines = text.count("\n", 0, block.start(1))
        code = "\n" * lines + block[1]
        # Their asserts count under -O too.
        exec(compile(code, str(page), "exec", optimize=0), scope)

    left_open = [v for v in scope.values() if isinstance(v, VirtualFileSystem)]
    for vfs in left_open:
        vfs.close()


def test_readme_shows_an_example() -> None:
    assert FENCE.search(text_of(REPOSITORY / "README.md"))


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_page_fences_are_closed(page: Path) -> None:
    assert text_of(page).count("\n```") % 2 == text_of(page).startswith("```")


# --- links ----------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of *page*."""
    found: set[str] = set()
    for heading in HEADING.findall(ANY_FENCE.sub("", text_of(page))):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = 0
        while (slug if not number else f"{slug}-{number}") in found:
            number += 1
        found.add(slug if not number else f"{slug}-{number}")
    return found | set(re.findall(r'<a (?:id|name)="([^"]+)"', text_of(page)))


@pytest.mark.parametrize("page", ALL_PAGES, ids=short)
def test_page_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(ANY_FENCE.sub("", text_of(page))):
        if re.match(r"[a-z]+:", link):
            continue  # another site: not asked during tests
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        leads = target.is_relative_to(REPOSITORY) and target.exists()
        if leads and anchor and target.suffix == ".md":
            leads = anchor in anchors(target)
        if not leads:
            broken.append(link)

    assert broken == []


# --- the page of the format -----------------------------------------------------------


@pytest.mark.parametrize(
    "text", _sql.SCHEMA, ids=lambda text: text.split("(")[0].strip()
)
def test_format_page_shows_the_schema_as_it_stands(text: str) -> None:
    assert text in text_of(REFERENCE / "format.md")


def musts() -> list[int]:
    page = text_of(REFERENCE / "format.md")
    return [int(n) for n in re.findall(r"^\*\*MUST (\d+)\.\*\*", page, re.MULTILINE)]


@pytest.mark.parametrize("number", sorted({rule.number for rule in _rules.RULES}))
def test_format_page_states_each_rule_of_check(number: int) -> None:
    assert musts().count(number) == 1


def test_format_page_numbers_its_rules_upwards_from_one() -> None:
    assert musts() == list(range(1, len(musts()) + 1))


def test_format_page_names_the_identification() -> None:
    page = text_of(REFERENCE / "format.md")

    assert re.search(
        rf"{_sql.APPLICATION_ID:#x}|{_sql.APPLICATION_ID}", page, re.IGNORECASE
    )
    assert "user_version" in page


# --- the page of the class ------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLIC)
def test_api_page_names_each_method(name: str) -> None:
    assert re.search(
        rf"^#.*\b{name}\b|`(?:\w+\.)?{name}[(`]",
        text_of(REFERENCE / "api.md"),
        re.MULTILINE,
    )


def test_api_page_is_what_the_docstrings_say() -> None:
    maker = REPOSITORY / "docs" / "reference" / "make_api.py"
    made = subprocess.run(
        [sys.executable, maker], capture_output=True, check=True, encoding="utf-8"
    )

    assert text_of(REPOSITORY / "docs" / "reference" / "api.md") == made.stdout
