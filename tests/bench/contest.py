"""What the benchmarks share: contenders that take turns, so that load on this machine hits all of them alike."""

import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

REPO = pathlib.Path(__file__).resolve().parent.parent.parent
LAB = REPO / "tests/lab/lab"
MMS = os.environ.get("MMS", str(REPO / "target/release/mms"))


def say(words):
    print(f"bench: {words}", file=sys.stderr, flush=True)


def output(*command, **more):
    return subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, **more).stdout


class Contender:
    """A way to do it: how it is run, how its words tell that it did what was asked, and what is done before each run."""

    def __init__(self, name, command, environment=None, stdin=None, says=None, directory=None, before=None):
        self.name, self.command, self.stdin = name, [str(word) for word in command], stdin
        self.environment = {**os.environ, **(environment or {})}
        self.says, self.directory, self.before = says, directory, before
        self.seconds, self.megabytes, self.words = [], [], ""

    def run(self):
        """One run: wall-clock seconds and the greatest resident size of the process that was started."""
        if self.before:
            self.before()
        with tempfile.TemporaryFile() as out, open(self.stdin or os.devnull, "rb") as stdin:
            started = time.monotonic()
            process = subprocess.Popen(
                self.command, env=self.environment, cwd=self.directory, stdin=stdin, stdout=out, stderr=subprocess.STDOUT
            )
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            self.words = out.read().decode(errors="replace")
        if process.returncode != 0 or (self.says and not re.search(self.says, self.words)):
            sys.exit(f"bench: {self.name} failed, or did something else (status {process.returncode}):\n{self.words[-3000:]}")
        return seconds, usage.ru_maxrss / 1024

    def measure(self):
        seconds, megabytes = self.run()
        self.seconds.append(seconds)
        self.megabytes.append(megabytes)

    @property
    def median(self):
        return statistics.median(self.seconds)

    @property
    def memory(self):
        return max(self.megabytes)
