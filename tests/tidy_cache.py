#!/usr/bin/env python3
"""Which sources clang-tidy has to look at again.

  tidy_cache.py ask BUILD FILE...    prints those that it was not content with before, as they are now
  tidy_cache.py keep BUILD FILE...   it is content with these

What counts is all that it sees: the source and its headers after the preprocessor, with comments and macros, the flags,
its configuration and its version; not where the checkout stands. Kept beside ccache's files, for all checkouts.
"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import shlex
import subprocess
import sys


def folder():
    cache = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("HOME") and os.environ["HOME"] + "/.cache")
    return pathlib.Path(cache) / "squall-tidy" if cache else None


def flags_of(command):
    """The compiler's own, without its launcher, the output and the source."""
    words = [word for word in shlex.split(command) if os.path.basename(word) != "ccache"]
    kept = []
    skip = False
    for word in words:
        if skip or word == "-c":
            skip = False
        elif word == "-o":
            skip = True
        else:
            kept.append(word)
    return kept[:-1]


def key_of(entry, base):
    flags = flags_of(entry["command"])
    seen = subprocess.run(
        ["clang", *[f for f in flags[1:] if not f.startswith("-W")], "-E", "-P", "-C", "-dD", entry["file"]],
        cwd=entry["directory"], capture_output=True, check=True)
    key = base.copy()
    key.update("\0".join(flag for flag in flags if not flag.startswith("-I")).encode())
    key.update(seen.stdout)
    return key.hexdigest()


def main():
    verb, build, *files = sys.argv[1:]
    stamps = folder()
    if stamps is None:
        for file in files if verb == "ask" else ():
            print(file)
        return
    base = hashlib.sha256(subprocess.run(["clang-tidy", "--version"], capture_output=True, check=True).stdout)
    for configuration in (".clang-tidy", "tests/lint.sh"):
        base.update(pathlib.Path(configuration).read_bytes())
    entries = {os.path.relpath(e["file"]): e for e in json.loads(pathlib.Path(build, "compile_commands.json").read_text())}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        keys = list(pool.map(lambda file: key_of(entries[file], base) if file in entries else None, files))
    for file, key in zip(files, keys):
        if verb == "keep" and key is not None:
            stamps.mkdir(parents=True, exist_ok=True)
            (stamps / key).touch()
        elif verb == "ask" and (key is None or not (stamps / key).exists()):
            print(file)


main()
