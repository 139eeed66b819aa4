#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Did a change make anything worse? Runs a benchmark program of two builds by turns, round by round.

    bazel run //bench:ab -- OLD NEW                    # two folders: bazel-bin of two checkouts, or copies
    bazel run //bench:ab -- OLD NEW --only depth-1 --rounds 40 --json /tmp/ab.json
    bazel run //bench:ab -- OLD NEW --program latency -- --only host

In each round every measurement runs once with OLD and once with NEW, one right after the other; who begins
changes from round to round. For each figure the ratio of the two is taken round by round. It is worse if the
quartiles of these ratios lie wholly above 1.02; what is so is measured again, in as many rounds, and must be
worse there, too. Status 0: nothing is worse, and all that OLD measured is there; 1: else; 2: the command line
is wrong; 130: stopped (Ctrl-C prints what there is).
"""

import argparse
import json
import mmap
import os
import platform
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import ab_verdict  # noqa: E402

ROUNDS = 20
SECONDS_MAX = 900  # of one run
PLACES = (("programs",), ())  # below bench/: where a build has its programs, and an old one had them
SANITIZERS = {b"__asan_init": "AddressSanitizer", b"__tsan_init": "ThreadSanitizer",
              b"__ubsan_handle": "UndefinedBehaviorSanitizer", b"__msan_init": "MemorySanitizer"}
# What `bazel run` says to its program is not meant for the programs measured.
NOT_PASSED_ON = ("BUILD_WORKING_DIRECTORY", "BUILD_WORKSPACE_DIRECTORY", "RUNFILES_DIR",
                 "RUNFILES_MANIFEST_FILE", "JAVA_RUNFILES")


class AbError(Exception):
    """What is wrong, and the remedy."""


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"ab: {message}; see ab --help\n")


# ---- a build ----

class Build:
    def __init__(self, label, folder, program):
        self.label = label
        self.folder = os.path.abspath(folder)
        self.binary = self._find(program)
        self._check_sanitizer(self.binary)
        self._check_mediator()
        self._help = None

    def _find(self, program):
        if not os.path.isdir(self.folder):
            raise AbError(f"{self.label}: there is no folder {self.folder}; give the bazel-bin of a checkout")
        places = [os.path.join(self.folder, "bench", *folders, program) for folders in PLACES + ((program,),)]
        found = [place for place in places if os.path.isfile(place) and os.access(place, os.X_OK)]
        if found:
            for other in found[1:]:  # nothing removes what an older checkout has built
                print(f"ab: note: {self.label}: taking {found[0]}, not {other}", file=sys.stderr)
            return found[0]
        target = "//bench:" + program
        if os.path.isdir(os.path.join(self.folder, "bazel-bin")):
            raise AbError(f"{self.label}: {self.folder} is a checkout; give its bazel-bin, after `bazel "
                          f"build {target}` there")
        raise AbError(f"{self.label}: {self.folder} has no bench/{program}; `bazel build {target}` in that "
                      f"checkout makes it")

    def _check_sanitizer(self, file):
        if os.path.getsize(file) == 0:
            raise AbError(f"{self.label}: {file} is empty; build it again")
        with open(file, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as text:
            for symbol, name in SANITIZERS.items():
                if text.find(symbol) >= 0:
                    raise AbError(f"{self.label}: {file} was built with {name}, so its times mean nothing; "
                                  "build it without --config (bazel-bin, not bazel-asan-bin)")

    def _check_mediator(self):
        """A copied binary without what it runs fails in each round; better at once."""
        places = [os.path.join(root, "mediator", "mediator")
                  for root in (self.binary + ".runfiles/vgpu_ring", self.folder)]
        mediator = next((place for place in places if os.access(place, os.X_OK)), None)
        if mediator is None:
            raise AbError(f"{self.label}: {self.binary} is there, but no mediator beside it; copy "
                          f"{self.binary}.runfiles, too "
                          "(cp -rL), or give the bazel-bin itself")
        self._check_sanitizer(mediator)

    def help(self):
        if self._help is None:
            done = subprocess.run([self.binary, "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, errors="replace", check=False, env=environment(), timeout=60)
            if done.returncode != 0:
                raise AbError(f"{self.label}: {self.binary} does not run here: {last_words(done.stdout)}")
            self._help = done.stdout
        return self._help

    def measurements(self):
        return names_in_help(self.help())

    def effort(self):
        return ["--quick"] if re.search(r"^\s*--quick\b", self.help(), re.MULTILINE) else []

    def checkout(self):
        """At which commit its checkout is now; empty for a copy."""
        root = os.path.dirname(self.folder) if os.path.basename(self.folder) == "bazel-bin" else None
        if root is None:
            return ""
        done = subprocess.run(["git", "-C", root, "describe", "--always", "--dirty", "--abbrev=10"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        return done.stdout.strip()


def names_in_help(text):
    """What --only takes, in the words of either generation of command lines; empty: everything is one
    measurement."""
    option = re.search(r"^ *--only\b.*(?:\n +[^-\s].*)*", text, re.MULTILINE)
    if option is None:
        return []
    old = re.search(r"\{([^}]*)\}", option.group())
    new = re.search(r": *([\w-]+(?:,\s+[\w-]+)+)", option.group())
    found = old or new
    return re.split(r",\s*", found.group(1)) if found else []


def environment():
    return {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}


def last_words(text, lines=3):
    words = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("== ")]
    return " | ".join(words[-lines:]) or "it said nothing"


# ---- one run ----

def stop(process):
    """Its own children end with it; its janitor outlives it and removes what it left."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def measure(build, measurement, arguments, seconds_max):
    """An Outcome. A session of its own: whatever priority it takes ends with it, and Ctrl-C is ours."""
    only = ["--only", measurement] if measurement in build.measurements() else []
    with tempfile.TemporaryDirectory(prefix="vgpu-ab-") as folder:
        file, said = os.path.join(folder, "result"), os.path.join(folder, "said")
        with open(said, "wb") as stream:
            process = subprocess.Popen([build.binary, *only, *arguments, "--json", file], cwd=folder,
                                       env=environment(),
                                       stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT,
                                       start_new_session=True)
            try:
                process.wait(seconds_max)
            except subprocess.TimeoutExpired:
                return ab_verdict.Outcome(reasons={"": f"no result after {seconds_max} s"})
            finally:
                if process.returncode is None:
                    stop(process)
        with open(said, encoding="utf-8", errors="replace") as stream:
            return outcome_of(file, process.returncode, stream.read())


def outcome_of(file, status, said):
    """A status that is not 0 is no failure by itself: a gate may not hold."""
    if not os.path.exists(file):
        skipped = re.search(r"^SKIPPED: (.*)", said, re.MULTILINE)
        if skipped:
            return ab_verdict.Outcome(reasons={"": skipped.group(1)}, skipped=True)
        return ab_verdict.Outcome(reasons={"": f"status {status}: {last_words(said)}"})
    try:
        with open(file, encoding="utf-8") as stream:
            return ab_verdict.read(json.load(stream))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return ab_verdict.Outcome(reasons={"": f"its JSON cannot be read: {error!r}"})


# ---- all runs ----

class Series:
    def __init__(self, old, new, measurements, flags):
        self.old, self.new, self.flags = old, new, flags
        self.measurements = list(measurements)
        self.rounds = []  # (measurement, Outcome of OLD, Outcome of NEW)
        self.again = []  # the same, of what was worse in these
        self.seconds = {}  # of both runs, by measurement

    def run(self):
        self._run(self.rounds)
        worse = {comparison.measurement for comparison in self.comparisons() if ab_verdict.fails(comparison)
                 and comparison.verdict is ab_verdict.Verdict.WORSE}
        self.measurements = [measurement for measurement in self.measurements if measurement in worse]
        if self.measurements:
            print(f"== worse, so measured again: {', '.join(self.measurements)}", file=sys.stderr, flush=True)
            self._run(self.again)

    def comparisons(self):
        return ab_verdict.confirm(ab_verdict.compare(self.rounds), ab_verdict.compare(self.again))

    def _run(self, done):
        began = time.monotonic()
        for number in range(self.flags.rounds):
            for place, measurement in enumerate(list(self.measurements)):
                self._say(number, measurement, time.monotonic() - began)
                done.append(self._pair(measurement, old_first=(number + place) % 2 == 0))
            save(self)

    def _pair(self, measurement, old_first):
        began = time.monotonic()
        outcomes = {}
        for build in (self.old, self.new) if old_first else (self.new, self.old):
            outcomes[build.label] = self._one(build, measurement)
        old, new = outcomes[self.old.label], outcomes[self.new.label]
        self.seconds.setdefault(measurement, []).append(time.monotonic() - began)
        if old.skipped and new.skipped:
            self.measurements.remove(measurement)  # it would be skipped each time
        return measurement, old, new

    def _one(self, build, measurement):
        known = build.measurements()
        if known and measurement not in known:
            return ab_verdict.Outcome(reasons={"": f"{build.label} has no measurement {measurement}"})
        return measure(build, measurement, self.flags.arguments, self.flags.seconds_max)

    def _say(self, number, measurement, gone):
        left = ""
        if number != 0:
            left = f", about {gone / number * (self.flags.rounds - number) / 60:.0f} min left"
        print(f"== round {number + 1} of {self.flags.rounds}: {measurement}{left}", file=sys.stderr,
              flush=True)


def cpu_name():
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            return re.search(r"^model name\s*: (.*)", file.read(), re.MULTILINE).group(1)
    except (OSError, AttributeError):
        return "unknown"


def machine():
    return {"cpu": cpu_name(), "cpus": os.cpu_count(), "kernel": platform.release(),
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def save(series):
    """After each round, so that a run that is cut off has a result."""
    if not series.flags.json:
        return
    builds = {build.label.lower(): {"folder": build.folder, "checkout": build.checkout()}
              for build in (series.old, series.new)}
    seconds = {name: sum(times) / len(times) for name, times in series.seconds.items()}
    result = {"machine": machine(), "program": series.flags.program, "arguments": series.flags.arguments,
              "builds": builds, "seconds_a_round": seconds,
              "comparisons": [ab_verdict.to_json(comparison) for comparison in series.comparisons()]}
    unfinished = series.flags.json + ".new"
    try:
        with open(unfinished, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1, sort_keys=True)
            file.write("\n")
        os.replace(unfinished, series.flags.json)
    except OSError as error:
        raise AbError(f"cannot write {series.flags.json}: {error.strerror}") from error


def heading(series):
    def line(build):
        at = build.checkout()
        return f"{build.label}  {build.folder}" + (f" (checkout at {at})" if at else "")

    here = machine()
    words = [os.path.basename(series.old.binary), *series.flags.arguments]
    return (f"{line(series.old)}\n{line(series.new)}\n{here['cpu']}, {here['cpus']} processors, Linux "
            f"{here['kernel']}, "
            f"{here['date']}; by turns: {shlex.join(words)}")


def report(series):
    comparisons = series.comparisons()
    print(f"{heading(series)}\n\n{ab_verdict.table(comparisons)}\n\n{ab_verdict.summary(comparisons)}",
          flush=True)
    measured = any(comparison.ratios for comparison in comparisons)
    return 0 if measured and not any(map(ab_verdict.fails, comparisons)) else 1


# ---- the command line ----

def rounds(text):
    if not (text.isascii() and text.isdigit() and len(text) < 7 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of rounds")
    return int(text)


def parse(argv):
    parser = Parser(prog="ab", description=__doc__, allow_abbrev=False,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("old", metavar="OLD", help="folder of the build to compare with")
    add("new", metavar="NEW",
        help="folder of the build that may be worse; the same as OLD: nothing should be found")
    add("--program", default="gates", metavar="NAME",
        help="the benchmark, whose JSON has figures (default: gates)")
    add("--rounds", type=rounds, default=ROUNDS, metavar="N",
        help=f"default: {ROUNDS}; under {ab_verdict.ROUNDS_MIN} nothing is judged")
    add("--only", action="append", default=[], metavar="NAME,...",
        help="only these measurements (--list names them)")
    add("--without", action="append", default=[], metavar="NAME,...", help="all but these")
    add("--full", action="store_true", help="each run at full length instead of --quick")
    add("--seconds-max", type=rounds, default=SECONDS_MAX, metavar="S",
        help=f"of one run (default: {SECONDS_MAX})")
    add("--json", metavar="FILE", help="also write everything to this file, after each round")
    add("--list", action="store_true", help="the measurements, and nothing else")
    at = argv.index("--") if "--" in argv else len(argv)
    flags = parser.parse_args(argv[:at])
    flags.arguments = argv[at + 1:]
    flags.only = [name for names in flags.only for name in names.split(",")]
    flags.without = [name for names in flags.without for name in names.split(",")]
    if not re.fullmatch(r"[\w-]+", flags.program):
        parser.error(f"--program: '{flags.program}' is no name of a benchmark, such as gates")
    return parser, flags


def choose(parser, old, new, flags):
    """The measurements, those of OLD first. A program without --only has one: its own name."""
    known = list(dict.fromkeys(old.measurements() + new.measurements()))
    for name in flags.only + flags.without:
        if name not in known:
            parser.error(f"'{name}' is no measurement; these are: {', '.join(known) or 'none'}")
    if not known:
        return [flags.program]
    return [name for name in known if (not flags.only or name in flags.only) and name not in flags.without]


def interrupted(*_):
    raise KeyboardInterrupt


def run(argv):
    parser, flags = parse(argv)
    # What paths are relative to, under `bazel run`.
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY") or ".")
    old, new = Build("OLD", flags.old, flags.program), Build("NEW", flags.new, flags.program)
    chosen = choose(parser, old, new, flags)
    if flags.list:
        print("\n".join(chosen))
        return 0
    if not chosen:
        parser.error("no measurement is left")
    if not flags.full:  # both alike, or the figures are not comparable
        flags.arguments = [option for option in old.effort() if option in new.effort()] + flags.arguments
    series = Series(old, new, chosen, flags)
    save(series)  # a file that cannot be written is known before an hour has gone
    signal.signal(signal.SIGTERM, interrupted)
    status = None
    try:
        series.run()
    except KeyboardInterrupt:
        status = 130
        save(series)
    failed = report(series)
    return failed if status is None else status


def main():
    try:
        status = run(sys.argv[1:])
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        print("ab: the reader of the output has gone", file=sys.stderr)
    except (AbError, OSError, subprocess.TimeoutExpired) as error:
        print(f"ab: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
