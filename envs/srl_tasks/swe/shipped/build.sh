#!/bin/sh
# Makes the tasks of a repository with a history again, in this folder: sh build.sh waymark
set -e
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work" .mine' EXIT
export GIT_COMMITTER_NAME=srl-env GIT_COMMITTER_EMAIL=srl-env@example.org GIT_CONFIG_GLOBAL=/dev/null
git init -q -b main "$work/$1"
git -C "$work/$1" am -q --committer-date-is-author-date <"history/$1.mbox"
srl-env swe mine "$work/$1" --out .
if [ -d "repos/$1" ]; then
    srl-env swe build "repos/$1" --out . --max-tasks 14 --max-bugs 1 --replace
fi
