"""What the course quotes of other projects stands in one file, and the command finds what a release has lost of it."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from labkit.authoring import outside
from labkit.authoring.commands import app
from labkit.cli import app as labkit_app
from labkit.errors import AuthorError

NAMES = [name for project in outside.projects() for name in project.names]

# What is seen at once to be of another project, or a place to read on.
QUOTED = {
    "metric": r"\b(?:vllm|sglang):[a-z]\w+",
    "path": r"(?<![\w/])(?:vllm|sglang|srt|nanovllm|minisgl|lmcache|src/transformers)/[\w/]+(?:\.py)?",
    "flag": r"`(--[a-z][a-z-]+)",
    "number": r"(?:[Ii]ssues?|[Pp]ull requests?|\bPRs?|fixes)\s+#?(\d+)",
    "second number": r"(?:[Ii]ssues|[Pp]ull requests|\bPRs|fixes)\s+#?[\d, ]+and\s+#?(\d+)",
    "hash": r"(?<![\w#&])#(\d{3,6})\b(?!\")",
    "cve": r"CVE-\d{4}-\d+",
    "paper": r"arXiv(?:\.org/abs/)?[ :]?(\d{4}\.\d{4,5})|arxiv\.org/abs/(\d{4}\.\d{4,5})",
}


def flags(command: Any) -> set[str]:
    """Those of a command and of all below it."""
    mine = {flag for parameter in command.params for flag in parameter.opts + parameter.secondary_opts}
    return mine.union(*map(flags, getattr(command, "commands", {}).values()))


OURS = flags(get_command(labkit_app))
"""Flags of labkit itself."""


@pytest.mark.parametrize("kind", QUOTED)
def test_whatever_is_quoted_stands_in_the_file(kind: str) -> None:
    known = {name.name for name in NAMES} | OURS
    missing = set()
    for path, text in outside.texts().items():
        for match in re.finditer(QUOTED[kind], text):
            found = next((group for group in match.groups() if group), match[0])
            if found not in known:
                missing.add(f"{found} in {path.name}")
    assert not missing, f"outside.yaml has no row for {sorted(missing)}"


def test_the_patterns_see_what_they_are_for() -> None:
    text = "`vllm:a_b`, vllm/v1/core/x.py, `--block-size 16`, issues 12 and 13, #4817, CVE-2025-1, arXiv 2312.07104"
    for pattern in QUOTED.values():
        assert re.search(pattern, text), pattern


def test_what_an_in_production_cell_names_stands_in_the_file() -> None:
    """Its code spans are another project's, or they are names of the course's own parts."""
    known = {name.name for name in NAMES} | {name.quoted.strip("`") for name in NAMES}
    own = {"causal_attend", "last_row_only", "slot_of", "allocate", "None", "n"}
    missing = set()
    for path in sorted((Path(__file__).resolve().parents[2] / "notebooks" / "masters").glob("[0-9]*.py")):
        for cell in re.split(r"(?m)^# %%", path.read_text(encoding="utf-8")):
            if re.match(r' \[markdown\] id="(?:in-)?production', cell):
                spans = {span.split(" fp8")[0] for span in re.findall(r"`([^`]+)`", cell)}
                missing |= {f"{span} in {path.name}" for span in spans - known - own}
    assert not missing, f"outside.yaml has no row for {sorted(missing)}"


def test_whatever_stands_in_the_file_is_quoted_somewhere() -> None:
    unused = [f"{name.project}: {name.name}" for name in NAMES if not outside.quoted_in(name)]
    assert not unused, "nothing quotes these: take them out"


def test_each_name_stands_once() -> None:
    rows = [(name.project, name.name, name.kind) for name in NAMES if name.kind in ("metric", "flag", "issue", "pull")]
    assert sorted(rows) == sorted(set(rows))


def test_a_name_is_sought_whole() -> None:
    texts = {"a.py": b'"vllm:prompt_tokens_cached" max-num-seqs'}
    release = outside.Release("vllm", "1", frozenset(texts), texts.__getitem__)
    assert release.holds("a.py", "vllm:prompt_tokens_cached") and release.holds("a.py", '"vllm:prompt_tokens_cached"')
    assert not release.holds("a.py", "vllm:prompt_tokens") and not release.holds("a.py", "max-num-seq")
    assert not release.holds("b.py", "max-num-seqs")


def test_every_row_can_be_checked_or_says_what_it_is() -> None:
    released = {project.name for project in outside.projects() if project.distribution}
    for name in NAMES:
        assert name.checked or name.says, f"{name.project}: {name.name} says nothing and no release can show it"
        assert not name.checked or name.project in released, f"{name.project} has no distribution to look in"


def test_a_version_in_the_text_is_the_one_that_was_read() -> None:
    versions = {project.name: project.version for project in outside.projects() if project.version}
    quoted = set()
    for path, text in outside.texts().items():
        if path.suffix in (".md", ".py", ".yaml") and "masters" in path.parts:
            for project, version in re.findall(r"\b(vLLM|SGLang)(?:\*\*)?(?: \(| )(\d+\.\d+\.\d+)", text):
                quoted.add(project)
                assert version == versions[project], f"{path.name} speaks of {project} {version}"
    assert quoted == set(versions)


def release(folder: Path, **changes: str | None) -> Path:
    """A wheel that holds all that is quoted of SGLang; `changes` are texts for its files, None for a missing one."""
    files: dict[str, str] = {}
    for name in NAMES:
        if name.project == "SGLang" and name.checked and not name.gone:
            path = (name.find or name.name) if name.kind == "path" else name.file
            path = path if path.endswith(".py") else f"{path}/__init__.py"
            files[path] = files.get(path, "") + ("" if name.kind == "path" else f"{name.find or name.name}\n")
    files |= {key: text for key, text in changes.items() if text is not None}
    wheel = folder / "sglang-9.0.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            if changes.get(path, "") is not None:
                archive.writestr(path, text)
        archive.writestr("sglang-9.0.0.dist-info/METADATA", "Name: sglang\n")
    return wheel


METRICS = "sglang/srt/observability/metrics_collector.py"


def test_a_release_that_holds_everything(tmp_path: Path) -> None:
    (found,) = outside.releases(release(tmp_path))
    assert (found.distribution, found.version) == ("sglang", "9.0.0")
    assert list(outside.gone(found)) == []
    done = CliRunner().invoke(app, ["outside", str(release(tmp_path))])
    assert done.exit_code == 0 and "All that is quoted is there." in done.output


def test_what_is_gone_or_has_moved_is_named_with_where_it_is_quoted(tmp_path: Path) -> None:
    moved = {METRICS: "", "sglang/new.py": "sglang:token_usage", "sglang/srt/mem_cache/unified_radix_cache.py": None}
    done = CliRunner().invoke(app, ["outside", str(release(tmp_path, **moved))])
    assert done.exit_code == 1
    lines = {line.split(" (")[0].strip(): line for line in done.output.splitlines()}
    assert f"is not in {METRICS} any more (sglang/new.py has it)" in lines["sglang:token_usage"]
    assert "08_radix_prefix_cache.py" in lines["sglang:token_usage"]
    assert lines["sglang:cache_hit_rate"].count("(") == 1
    assert "is no file or folder of it" in lines["srt/mem_cache/unified_radix_cache.py"]


def test_an_unpacked_folder_is_read_like_a_wheel(tmp_path: Path) -> None:
    with zipfile.ZipFile(release(tmp_path, **{METRICS: ""})) as archive:
        archive.extractall(tmp_path / "unpacked" / "sglang-9.0.0")
    (found,) = outside.releases(tmp_path / "unpacked")
    assert {name.file for name, _ in outside.gone(found)} == {METRICS}


def test_what_is_quoted_as_gone_and_comes_back_is_named(tmp_path: Path) -> None:
    old = next(name for name in NAMES if name.gone)
    back = outside.Release("vllm", "1", frozenset({old.file}), lambda path: (old.find or old.name).encode())
    assert (old, f"is quoted as gone, and stands in {old.file}") in list(outside.gone(back))


def test_places_without_a_release_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no wheel", encoding="utf-8")
    for place in (text, tmp_path / "nowhere", tmp_path):
        with pytest.raises(AuthorError):
            list(outside.releases(place))
    done = CliRunner().invoke(app, ["outside", str(text)])
    assert done.exit_code == 2 and "neither a wheel nor a folder" in done.output


def test_without_a_release_it_lists_names_and_places() -> None:
    done = CliRunner().invoke(app, ["outside"])
    assert done.exit_code == 0
    (line,) = [line for line in done.output.splitlines() if "vllm:kv_cache_usage_perc (metric): " in line]
    assert "notebooks/masters/04_block_pool.py" in line and "labkit/observe/servers.py" in line


def test_a_row_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(AuthorError, match="is no row"):
        outside._name("vLLM", {"name": "x", "kind": "metric", "where": "here"})
