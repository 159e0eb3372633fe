"""Copying and deleting folders that someone has made hard to handle."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from srl_env.sandbox import Sandbox
from srl_env.sandbox.inside.workspace import Changes, Workspace, copy_tree, remove_tree


def opened(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    for name in ("merged", "pristine"):
        (tmp_path / name).mkdir()
    return Workspace(opened(tmp_path / "merged"), opened(tmp_path / "pristine"))


def test_a_copy_keeps_modes_and_links_and_leaves_out_pipes(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "in").mkdir(parents=True)
    target.mkdir()
    (source / "in" / "run").write_text("#!/bin/sh\n")
    (source / "in" / "run").chmod(0o751)
    (source / "dangling").symlink_to("/nowhere")
    os.mkfifo(source / "pipe")
    copy_tree(str(source), str(target))
    assert stat.S_IMODE((target / "in" / "run").stat().st_mode) == 0o751
    assert os.readlink(target / "dangling") == "/nowhere"
    assert sorted(path.name for path in target.iterdir()) == ["dangling", "in"]


def test_a_deep_closed_tree_is_deleted(tmp_path: Path) -> None:
    deep = tmp_path / "deep"
    deep.mkdir()
    here = opened(deep)
    for _ in range(600):
        os.mkdir("folder", dir_fd=here)
        inner = os.open("folder", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.fchmod(here, 0o000)
        os.close(here)
        here = inner
    os.close(here)
    remove_tree(str(deep))
    assert list(tmp_path.iterdir()) == []


def test_what_a_link_leads_to_is_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("kept")
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "link").symlink_to(tmp_path / "kept")
    remove_tree(str(tmp_path / "gone"))
    assert (tmp_path / "kept" / "file").read_text() == "kept"
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize("path", ["", ".", "..", "a/../b", "/a", "a//b", "a/", "a\0b"])
def test_a_path_that_is_not_plainly_inside_is_refused(workspace: Workspace, path: str) -> None:
    with pytest.raises(OSError, match="relative to the workspace") as caught:
        workspace.write(path, b"x", None)
    assert caught.value.errno == errno.EINVAL


def test_changes_of_a_workspace_closed_to_its_owner_are_found_and_it_stays_closed(
    namespaces: Sandbox, tree: Path
) -> None:
    with namespaces.start(tree) as session:
        session.run("echo new > added; chmod 000 pkg/mod.py pkg; chmod 600 .")
        found = {change.path: change.mode for change in session.snapshot().changes}
        assert found == {"added": 0o644, "pkg": 0, "pkg/mod.py": 0}
        with pytest.raises(PermissionError):
            session.read("added")


@pytest.mark.parametrize("sizes", [(1, 1), (1, 3), (2, 2), (4, -1), (0, 0)])
def test_contents_that_do_not_fit_their_entries_are_refused_and_nothing_is_changed(
    workspace: Workspace, sizes: tuple[int, int]
) -> None:
    entry = {"change": "added", "kind": "file", "mode": 0o644}
    entries = [entry | {"path": name, "size": size} for name, size in zip("fg", sizes, strict=True)]
    with pytest.raises(OSError, match=f"3 bytes of contents for entries of {sum(sizes)} bytes"):
        workspace.apply(entries, b"abc")
    assert os.listdir(workspace.merged) == []


def test_a_file_that_became_a_folder_and_back_is_told_apart(workspace: Workspace) -> None:
    os.mkdir("was-folder", dir_fd=workspace.pristine)
    os.mkdir("was-file", dir_fd=workspace.merged)
    os.close(os.open("was-file", os.O_CREAT, 0o644, dir_fd=workspace.pristine))
    os.close(os.open("was-folder", os.O_CREAT, 0o644, dir_fd=workspace.merged))
    found = workspace.changes(contents=False, max_bytes=0, max_entries=9).entries
    assert [(entry["change"], entry["path"], entry["kind"]) for entry in found] == [
        ("deleted", "was-file", "file"),
        ("added", "was-file", "directory"),
        ("deleted", "was-folder", "directory"),
        ("added", "was-folder", "file"),
    ]


def test_more_changes_than_asked_for_are_refused(workspace: Workspace) -> None:
    for number in range(3):
        os.mkdir(str(number), dir_fd=workspace.merged)
    with pytest.raises(OSError, match="too many changes"):
        workspace.changes(contents=False, max_bytes=0, max_entries=2)


def test_changes_whose_names_no_frame_holds_are_refused(workspace: Workspace) -> None:
    found = Changes(contents=False, bytes_left=0, entries_left=9, names_left=60)
    os.symlink("a" * 10, "link", dir_fd=workspace.merged)
    status = os.stat("link", dir_fd=workspace.merged, follow_symlinks=False)
    found.add("added", "link", workspace.merged, "link", status)
    with pytest.raises(OSError, match="the names of what changed are too long"):
        found.add("added", "\udcff" * 9, workspace.merged, "link", status)
