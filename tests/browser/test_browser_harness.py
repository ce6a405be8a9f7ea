"""The browser fixtures themselves: a plain notebook runs in both themes, and what must be noticed is noticed."""

from __future__ import annotations

import json

import pytest

CELLS = [
    ("markdown", "# Harness"),
    "print('first', 1 + 1)",
    "print('\\n'.join(str(i) for i in range(40)))",
    "print('long ' * 3)",
    "open('made.txt', 'w').write('x')\nprint('last')",
]


def test_notebook_runs_in_both_themes(lab, page, browse):
    name = lab.write_notebook("harness.ipynb", CELLS)
    browse.open_notebook(page, lab, name)
    browse.run_all(page)
    assert "last" in browse.cell(page, "cell-4").inner_text()
    assert (lab.work / "made.txt").exists()

    browse.set_source(page, "cell-1", "print('changed', 6 * 7)")
    assert "changed 42" in browse.run_cell(page, "cell-1").inner_text()
    browse.save(page)
    stored = json.loads((lab.work / name).read_text())
    assert "changed 42\n" in stored["cells"][1]["outputs"][0]["text"]

    browse.set_theme(page, dark=True)
    assert browse.shoot(page, "harness-dark").stat().st_size > 10_000
    browse.set_theme(page, dark=False)
    assert browse.shoot(page, "harness-light").stat().st_size > 10_000
    browse.assert_clean(page)


def test_external_request_and_errors_are_noticed(lab, page, browse):
    script = "fetch('http://203.0.113.1/x').catch(() => {}); console.error('lk-marker'); setTimeout(() => { throw 1 })"
    name = lab.write_notebook("bad.ipynb", [f"from IPython.display import Javascript\nJavascript({script!r})"])
    browse.open_notebook(page, lab, name)
    browse.run_all(page)
    page.wait_for_timeout(500)
    with pytest.raises(AssertionError, match=r"203\.0\.113\.1"):
        browse.assert_no_external_request(page)
    assert any("lk-marker" in line for line in page.console_errors)
    with pytest.raises(AssertionError):
        browse.assert_no_console_error(page)
