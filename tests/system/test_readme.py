"""What the README shows is what happens."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from microarpes.beamline.cli import main

README = Path(__file__).parents[2] / "README.md"


def test_the_python_in_the_readme_runs_on_the_run_the_demo_left(demo_run, tmp_path):
    (tmp_path / "microarpes-demo").symlink_to(demo_run[0])
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] in ("ok", "off-sample", "no-gap")


def test_every_verb_of_the_readme_has_its_help(capsys):
    verbs = set(re.findall(r"`microarpes (\w+)", README.read_text()))
    assert len(verbs) >= 8
    for verb in verbs:
        assert main([verb, "--help"]) == 0, verb
        assert "usage" in capsys.readouterr().out.lower(), verb


def test_every_file_the_documentation_links_to_is_there():
    pages = [README, *(README.parent / "docs").rglob("*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#]+)\)", page.read_text())]
    assert len(links) > 5
    missing = [(page.name, link) for page, link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []
