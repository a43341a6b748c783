"""Carries deploy/Dockerfile out without Docker: each stage is a bare Debian from debootstrap, each RUN runs in it by
chroot, unchanged. Then runs what came out, as its USER. Needs root, debootstrap, unshare and a mirror of Debian.

    image_check.py SOURCE [--suite bookworm] [--mirror URL]
"""
import argparse
import fnmatch
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

# Mounts and processes of the root's own, which end with the command. $1 is the root.
IN_ROOT = """
mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" || exit
root=$1 user=$2 folder=$3
shift 3
exec chroot --userspec="$user" "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \\
    sh -c 'cd "$0" && exec "$@"' "$folder" "$@"
"""


def instructions(text):
    """Word and rest of each; lines that end with a backslash go on."""
    text = re.sub(r"(?m)^#.*\n", "", text).replace("\\\n", " ")
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        yield word.upper(), rest.strip()


def ignored(source):
    """For copytree: what Docker leaves out at the top of the source."""
    lines = (source / "deploy/Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if not line.startswith("#")]

    def leave_out(folder, names):
        at_top = pathlib.Path(folder) == source
        return [name for name in names if at_top and any(fnmatch.fnmatch(name, p) for p in patterns)]

    return leave_out


class Stage:
    def __init__(self, root):
        self.root, self.folder, self.user, self.entry, self.arguments = root, "/", "0:0", [], []

    def path(self, inside):
        return self.root / inside.lstrip("/")

    def run(self, *words, check=True):
        return subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "sh", "-c", IN_ROOT, "sh",
             str(self.root), self.user, self.folder, *words], check=check)


class Builder:
    def __init__(self, source, bare, work):
        self.source, self.bare, self.work = source, bare, work
        self.stages, self.names = [], {}

    def start(self, rest):
        image, *named = rest.split()
        assert image == "debian:${DEBIAN}", f"FROM {rest}: want Debian"
        stage = Stage(self.work / f"stage-{len(self.stages)}")
        subprocess.run(["cp", "-a", self.bare, stage.root], check=True)
        self.stages.append(stage)
        if named:
            self.names[named[1]] = stage

    def copy(self, rest):
        *words, to = rest.split()
        stage, made_in = self.stages[-1], None
        if words[0].startswith("--from="):
            made_in = self.names[words.pop(0).removeprefix("--from=")]
        for word in words:
            if made_in:
                shutil.copytree(made_in.path(word), stage.path(to), dirs_exist_ok=True, symlinks=True)
            else:
                assert word == ".", f"COPY {rest}: want the whole source"
                shutil.copytree(self.source, stage.path(to), ignore=ignored(self.source), symlinks=True)

    def carry_out(self, word, rest):
        stage = self.stages[-1] if self.stages else None
        if word == "ARG":
            return
        if word == "FROM":
            self.start(rest)
        elif word == "COPY":
            self.copy(rest)
        elif word == "WORKDIR":
            stage.folder = rest
        elif word == "RUN":
            stage.run("sh", "-c", rest)
        elif word == "USER":
            stage.user = rest
        elif word == "ENTRYPOINT":
            stage.entry = json.loads(rest)
        elif word == "CMD":
            stage.arguments = json.loads(rest)
        elif word != "STOPSIGNAL":
            raise AssertionError(f"what does {word} do?")


def try_image(stage, source):
    """It runs as nobody, and takes the example as its configuration. Nothing to build with is in it."""
    assert stage.user != "0:0" and stage.arguments[:2] == ["run", "-c"]
    stage.run(*stage.entry, "version")
    config = stage.path(stage.arguments[2])
    config.parent.mkdir(parents=True)
    shutil.copy(source / "deploy/examples/portal.json", config)
    config.chmod(0o644)
    stage.run(*stage.entry, "test", "-c", stage.arguments[2])
    stage.run("sh", "-c", "test \"$(id -u)\" != 0 && ! command -v gcc && ! command -v make")
    assert not list(stage.path("/var/lib/apt/lists").glob("*Packages*"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("--suite", default="bookworm")
    parser.add_argument("--mirror", default="http://deb.debian.org/debian")
    words = parser.parse_args()
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        sys.exit("image_check.py: want root and debootstrap")
    with tempfile.TemporaryDirectory(prefix="image-check-") as folder:
        bare = pathlib.Path(folder) / "bare"
        subprocess.run(["debootstrap", "--variant=minbase", words.suite, str(bare), words.mirror], check=True)
        builder = Builder(words.source.resolve(), bare, pathlib.Path(folder))
        for word, rest in instructions((words.source / "deploy/Dockerfile").read_text(encoding="utf-8")):
            print(f"image_check: {word} {rest}", flush=True)
            builder.carry_out(word, rest)
        try_image(builder.stages[-1], words.source)
    print(f"image_check: {words.suite} is fine")


if __name__ == "__main__":
    main()
