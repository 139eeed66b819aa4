#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""//bench:ab: the verdicts, by figures made to be worse, better or noisy; and the program, with builds made
to be so."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "tools", "lib")]
import ab  # noqa: E402
import ab_verdict  # noqa: E402
import unittest_xml  # noqa: E402
from ab_verdict import Outcome, Value, Verdict  # noqa: E402

SEED = int(os.environ.get("VGPU_TEST_SEED", random.SystemRandom().randrange(2**32)))


def outcome(value, **more):
    return Outcome(values={"f": Value(value, **more)})


def of(olds, news, **more):
    """The Comparison of a figure that came to these values, round by round."""
    rounds = [("m", outcome(old, **more), outcome(new, **more)) for old, new in zip(olds, news)]
    return ab_verdict.compare(rounds)[0]


def noisy(middle, spread, count=20, seed=0):
    numbers = random.Random(seed)
    return [middle * (1 + spread * numbers.uniform(-1, 1)) for _ in range(count)]


class Numbers(unittest.TestCase):
    def test_quartiles_are_interpolated(self):
        self.assertEqual(ab_verdict.quartiles([4, 1, 3, 2, 5]), (2, 3, 4))
        self.assertEqual(ab_verdict.quartiles([1, 2]), (1.25, 1.5, 1.75))
        self.assertEqual(ab_verdict.quartiles([7]), (7, 7, 7))

    def test_quartiles_of_infinite_values_are_numbers(self):
        self.assertEqual(ab_verdict.quartiles([1, 1, math.inf]), (1, 1, math.inf))
        self.assertEqual(ab_verdict.quartiles([math.inf] * 3), (math.inf,) * 3)

    def test_ratio_above_one_is_worse_whatever_is_better(self):
        self.assertEqual(ab_verdict.cost_ratio(2, 3, "lower"), 1.5)
        self.assertEqual(ab_verdict.cost_ratio(3, 2, "higher"), 1.5)

    def test_zero_must_stay_zero(self):
        self.assertEqual(ab_verdict.cost_ratio(0, 0, "lower"), 1)
        self.assertEqual(ab_verdict.cost_ratio(0, 3, "lower"), math.inf)
        self.assertEqual(ab_verdict.cost_ratio(3, 0, "lower"), 0)
        self.assertEqual(ab_verdict.cost_ratio(3, 0, "higher"), math.inf)

    def test_what_is_no_number_has_no_ratio(self):
        for bad in (math.nan, math.inf, -1):
            self.assertIsNone(ab_verdict.cost_ratio(bad, 1, "lower"))
            self.assertIsNone(ab_verdict.cost_ratio(1, bad, "lower"))

    def test_chance_is_no_more_than_is_said(self):
        numbers = random.Random(SEED)
        rounds, trials = 12, 4000
        found = sum(ab_verdict.quartiles([numbers.lognormvariate(0, 1) for _ in range(rounds)])[0] > 1
                    for _ in range(trials)) / trials
        expected = ab_verdict.chance_of_worse(rounds)
        self.assertLess(found, expected + 5 * math.sqrt(expected / trials), f"seed {SEED}")
        self.assertGreater(found, expected / 4, f"seed {SEED}")


class Verdicts(unittest.TestCase):
    def check(self, comparison, verdict, fails=False):
        self.assertEqual((comparison.verdict, ab_verdict.fails(comparison)), (verdict, fails), comparison)

    def test_worse(self):
        self.check(of(noisy(100, 0.02), noisy(110, 0.02, seed=1)), Verdict.WORSE, fails=True)
        self.check(of(noisy(110, 0.02), noisy(100, 0.02, seed=1), better="higher"), Verdict.WORSE, fails=True)

    def test_better(self):
        self.check(of(noisy(110, 0.02), noisy(100, 0.02, seed=1)), Verdict.BETTER)
        self.check(of(noisy(100, 0.02), noisy(110, 0.02, seed=1), better="higher"), Verdict.BETTER)

    def test_the_same_values_are_as_before(self):
        self.check(of(noisy(100, 0.3), noisy(100, 0.3)), Verdict.AS_BEFORE)

    def test_pairs_take_out_what_the_machine_does(self):
        machine = noisy(100, 0.5)  # as much noise as one may fear, the same for both of a round
        self.check(of(machine, [value * 1.05 for value in machine]), Verdict.WORSE, fails=True)
        self.check(of(machine, [value * 1.01 for value in machine]), Verdict.AS_BEFORE)

    def test_few_per_cent_within_the_margin_are_outside_the_quartiles_only(self):
        self.check(of([100] * 20, [101] * 20), Verdict.OUTSIDE_WORSE)
        self.check(of([100] * 20, [99] * 20), Verdict.OUTSIDE_BETTER)
        self.check(of([100] * 20, [99] * 20, better="higher"), Verdict.OUTSIDE_WORSE)

    def test_noise_alone_is_hardly_ever_worse(self):
        numbers = random.Random(SEED)
        worse = sum(of(noisy(100, 0.2, 40, numbers.random()),
                       noisy(100, 0.2, 40, numbers.random())).verdict is Verdict.WORSE
                    for _ in range(200))
        self.assertLessEqual(worse, 3, f"seed {SEED}")

    def test_zero_that_becomes_something_is_worse(self):
        self.check(of([0] * 20, [0] * 20), Verdict.AS_BEFORE)
        self.check(of([0] * 20, [3] * 20), Verdict.WORSE, fails=True)
        self.check(of([0] * 20, [0] * 16 + [3] * 4), Verdict.AS_BEFORE)

    def test_few_rounds_are_inconclusive(self):
        self.check(of([100] * 9, [200] * 9), Verdict.INCONCLUSIVE)
        self.assertEqual(of([1] * 9, [1] * 9).reason, "9 rounds of at least 10")

    def test_percentiles_of_few_samples_are_inconclusive(self):
        few = {"samples": 99, "percent": 99}
        self.check(of([100] * 20, [200] * 20, **few), Verdict.INCONCLUSIVE)
        enough = of([100] * 20, [200] * 20, samples=100, percent=99)
        self.check(enough, Verdict.WORSE, fails=True)
        self.assertEqual((enough.old_samples, enough.new_samples), (2000, 2000))

    def test_what_old_measured_must_be_there(self):
        gone = Outcome(reasons={"m": "no such file"})
        missing = ab_verdict.compare([("m", outcome(1), gone)] * 20)[0]
        self.check(missing, Verdict.MISSING, fails=True)
        self.assertIn("no such file", missing.reason)
        both, new_fails, old_fails = ("m", outcome(1), outcome(1)), ("m", outcome(1), gone), ("m", gone,
                                                                                              outcome(1))
        self.check(ab_verdict.compare([both] * 12 + [new_fails] * 6)[0], Verdict.MISSING, fails=True)
        self.check(ab_verdict.compare([both] * 12 + [new_fails] * 5)[0], Verdict.AS_BEFORE)  # may be chance
        self.check(ab_verdict.compare([both] * 12 + [new_fails] * 6 + [old_fails] * 2)[0], Verdict.AS_BEFORE)

    def test_rounds_without_both_are_left_out_and_said(self):
        rounds = [("m", outcome(1), outcome(1))] * 18 + [("m", Outcome(reasons={"": "it slept"}),
                                                          outcome(1))] * 2
        comparison = ab_verdict.compare(rounds)[0]
        self.check(comparison, Verdict.AS_BEFORE)
        self.assertEqual((len(comparison.ratios), comparison.left_out), (18, 2))
        self.assertEqual(comparison.reason, "OLD lacks 2 rounds: it slept")

    def test_one_wrong_answer_is_enough(self):
        wrong = Outcome(reasons={"f": "vgpu-ring: 3 wrong answers"})
        rounds = [("m", outcome(1), outcome(1))] * 19 + [("m", outcome(1), wrong)]
        self.check(ab_verdict.compare(rounds)[0], Verdict.WRONG, fails=True)

    def test_new_skipped_and_failed_in_both(self):
        nothing = Outcome(reasons={"m": "no GPU"}, skipped=True)
        failed = Outcome(reasons={"": "status 1: it is broken"})
        self.check(ab_verdict.compare([("m", Outcome(reasons={"": "old"}), outcome(1))] * 20)[0], Verdict.NEW)
        self.check(ab_verdict.compare([("m", nothing, nothing)])[0], Verdict.SKIPPED)
        both = ab_verdict.compare([("m", failed, failed)])[0]
        self.check(both, Verdict.FAILED)
        self.assertEqual(both.reason, "status 1: it is broken")

    def test_worse_must_be_worse_again(self):
        def worse():
            return of([100] * 20, [110] * 20)

        chance = ab_verdict.confirm([worse()], [of([100] * 20, [100] * 20)])[0]
        self.check(chance, Verdict.NOT_AGAIN)
        self.assertTrue(ab_verdict.table([chance]).endswith("not when measured again; again: 1.000 (1.000 .. "
                                                            "1.000)"))
        self.check(ab_verdict.confirm([worse()], [worse()])[0], Verdict.WORSE, fails=True)
        self.check(ab_verdict.confirm([worse()], [])[0], Verdict.WORSE, fails=True)
        # Cut short.
        self.check(ab_verdict.confirm([worse()], [of([100] * 9, [100] * 9)])[0], Verdict.WORSE, fails=True)

    def test_contestants_of_two_figures_are_shown_once(self):
        values = {name: Value(1) for name in ("f", "g")} | {name: Value(7, title="p50")
                                                            for name in ("f/x/p50", "g/x/p50")}
        shown = ab_verdict.compare([("m", Outcome(values=values), Outcome(values=values))] * 10)
        self.assertEqual([comparison.name for comparison in shown], ["f", "g", "f/x/p50"])

    def test_yardsticks_fail_nobody(self):
        comparison = of([100] * 20, [200] * 20, ours=False)
        self.check(comparison, Verdict.WORSE)
        self.assertIn("yardsticks: 1 of 1 changed", ab_verdict.summary([comparison]))
        self.assertNotIn("\nf", ab_verdict.table([comparison]))

    def test_table_and_summary_name_what_is_worse(self):
        comparison = of([100] * 20, [200] * 20)
        self.assertRegex(ab_verdict.table([comparison]),
                         r"\nf +100 +200 +2\.000 \(2\.000 \.\. 2\.000\) +20 +WORSE$")
        self.assertTrue(ab_verdict.summary([comparison]).endswith("1 worse or missing: f"))
        self.assertTrue(ab_verdict.summary([of([1] * 20, [1] * 20)]).endswith("nothing is worse"))

    def test_table_shows_medians_and_what_changed(self):
        values = {f"f/x/{key}": Value(1, title=key, samples=9999, percent=50)
                  for key in ("p50", "p99", "p99_9", "ns")}
        new = {**values, "f/x/p99": Value(2, title="p99", samples=9999, percent=50)}
        shown = ab_verdict.table(ab_verdict.compare([("m", Outcome(values=values),
                                                      Outcome(values=new))] * 10))
        self.assertEqual([line.split()[0] for line in shown.splitlines()[1:]], ["p50", "p99"])

    def test_json_has_no_infinity(self):
        written = ab_verdict.to_json(of([0] * 20, [3] * 20))
        json.dumps(written, allow_nan=False)
        self.assertIsNone(written["ratio_median"])


class Reading(unittest.TestCase):
    LATENCY = {"samples": 3000, "p50": 300, "p99": 900, "p99_9": 4000, "max": 9999}

    def figure(self, **more):
        return {"name": "f", "title": "a figure", "better": "lower", "median": 0.7, "rounds": 10,
                "verdict": "holds", **more}

    def test_percentiles_are_figures_of_their_own_with_their_samples(self):
        series = [{"name": name, "latency_ns": self.LATENCY, "ns_per_request": [310, 290, 300]}
                  for name in ("vgpu-ring, batch 16", "Boost, eager, batch 8")]
        values = ab_verdict.read({"figures": [self.figure(detail=series + [{"tried": []}])]}).values
        self.assertEqual(list(values),
                         ["f", "f/vgpu-ring/p50", "f/vgpu-ring/p99", "f/vgpu-ring/p99_9", "f/vgpu-ring/ns",
                          "f/Boost/p50", "f/Boost/p99", "f/Boost/p99_9", "f/Boost/ns"])
        self.assertEqual((values["f/vgpu-ring/p99"].value, values["f/vgpu-ring/p99"].samples), (900, 3000))
        self.assertEqual(values["f/vgpu-ring/ns"].value, 300)
        self.assertEqual([values[name].ours for name in ("f", "f/vgpu-ring/p50", "f/Boost/p50")],
                         [True, True, False])

    def test_times_by_round_and_groups_of_rows(self):
        result = {"figures": [self.figure(detail={"vm_p50_ns": [3, 1, 2], "eventfd_p50_ns": [5], "seed": 7})],
                  "groups": [{"title": "in a VM", "rows": [{"name": "vgpu-ring", **self.LATENCY},
                                                           {"name": "NFS", "samples": 0}]}]}
        values = ab_verdict.read(result).values
        self.assertEqual((values["f/vm_p50_ns"].value, values["f/vm_p50_ns"].ours), (2, True))
        self.assertFalse(values["f/eventfd_p50_ns"].ours)
        self.assertEqual(values["in a VM/vgpu-ring/p99"].value, 900)
        self.assertNotIn("in a VM/NFS/p50", values)

    def test_skipped_and_broken(self):
        skipped = {"name": "gpu", "rounds": 0, "skipped": "no GPU", "better": "lower", "median": 0}
        self.assertTrue(ab_verdict.read({"figures": [skipped]}).skipped)
        both = ab_verdict.read({"figures": [skipped, self.figure(broken="3 wrong answers")]})
        self.assertEqual((both.skipped, both.values), (False, {}))
        self.assertEqual(both.reasons, {"gpu": "no GPU", "f": "3 wrong answers"})

    def test_names_in_the_help_of_either_generation(self):
        old = ("  --quick     few\n  --only TEXT:{depth-1,vm-ring,gpu} ...\n              only these\n"
               "  --json TEXT  also\n")
        new = ("  --quick     few\n  --only WORD...   only these measurements: depth-1, vm-ring,\n    gpu\n"
               "  --json FILE  also\n")
        for text in (old, new):
            self.assertEqual(ab.names_in_help(text), ["depth-1", "vm-ring", "gpu"])
        self.assertEqual(ab.names_in_help("  --json FILE  also: this, that\n"), [])


# A build whose program takes no time: it prints what its --only names, times a factor, and writes down when
# it ran.
FAKE = """\
    #!/usr/bin/env python3
    import json, os, sys, time
    argv = sys.argv[1:]
    if "--help" in argv:
        sys.exit(print("  --quick   few\\n  --only WORD...  only these: fast, slow, wrong, gone, skipped\\n"
                       "  --json FILE  also"))
    name = argv[argv.index("--only") + 1]
    with open({log!r}, "a") as log:
        log.write({label!r} + " " + name + (" quick" if "--quick" in argv else "") + "\\n")
    if name == "slow":
        time.sleep(3600)
    if name == "gone" and {factor} != 1:
        sys.exit("it is gone")
    figure = {{"name": name, "title": name, "better": "lower", "median": 100 * {factor}, "rounds": 5,
              "detail": None}}
    if name == "wrong" and {factor} != 1:
        figure["broken"] = "2 wrong answers"
    if name == "skipped":
        figure = {{"name": name, "rounds": 0, "skipped": "no GPU", "better": "lower", "median": 0}}
    with open(argv[argv.index("--json") + 1], "w") as file:
        json.dump({{"figures": [figure]}}, file)
    sys.exit(1)  # a gate does not hold
    """


class Program(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.log = os.path.join(self.folder, "log")
        self.old, self.new = self.build("old", 1), self.build("new", 1.5)

    def write(self, path, text):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o755)

    def build(self, label, factor, place=("programs", "gates")):
        root = os.path.join(self.folder, label)
        self.write(os.path.join(root, "mediator", "mediator"), "#!/bin/sh\n")
        self.write(os.path.join(root, "bench", *place),
                   textwrap.dedent(FAKE).format(log=self.log, label=label, factor=factor))
        return root

    def start(self, *argv, **more):
        return subprocess.Popen([os.path.join(HERE, "ab.py"), *argv], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, **more)

    def ab(self, *argv, **more):
        process = self.start(*argv, **more)
        out, err = process.communicate(timeout=100)
        return process.returncode, out, err

    def logged(self):
        with open(self.log, encoding="utf-8") as file:
            return file.read().splitlines()

    def test_who_begins_changes_from_round_to_round(self):
        self.ab(self.old, self.new, "--only", "fast", "--rounds", "3")
        self.assertEqual(self.logged(),
                         [f"{label} fast quick" for label in ("old", "new", "new", "old", "old", "new")])

    def test_builds_of_old_have_their_programs_elsewhere(self):
        for place in (("gates",), ("gates", "gates")):
            old = self.build("_".join(place), 1, place)
            status, out, err = self.ab(old, self.new, "--only", "fast", "--rounds", "10")
            self.assertEqual(status, 1, err)
            self.assertIn("1 worse or missing: fast", out)
            self.assertNotIn("note", err)

    def test_what_an_older_checkout_left_is_not_taken(self):
        stale = self.build("new", 7, ("gates",))
        status, out, err = self.ab(self.old, stale, "--only", "fast", "--rounds", "10")
        self.assertEqual(status, 1, err)
        self.assertRegex(out, r"\nfast .*1\.5")
        self.assertIn("ab: note: NEW: taking ", err)

    def test_worse_is_found_and_written_down(self):
        file = os.path.join(self.folder, "result.json")
        status, out, err = self.ab(self.old, self.new, "--only", "fast", "--rounds", "10", "--json", file)
        self.assertEqual(status, 1, err)
        self.assertIn("1 worse or missing: fast", out)
        with open(file, encoding="utf-8") as stream:
            result = json.load(stream)
        self.assertEqual([(each["name"], each["verdict"], each["ratio_median"])
                          for each in result["comparisons"]],
                         [("fast", "worse", 1.5)])
        self.assertEqual(result["builds"]["old"]["folder"], self.old)
        self.assertEqual(result["comparisons"][0]["again"]["verdict"], "worse")
        self.assertEqual(len(self.logged()), 40)

    def test_a_build_beside_itself_is_as_before(self):
        status, out, err = self.ab(self.old, self.old, "--only", "fast", "--rounds", "10")
        self.assertEqual((status, out.splitlines()[-1]), (0, "nothing is worse"), err)

    def test_gone_wrong_and_skipped(self):
        status, out, _ = self.ab(self.old, self.new, "--only", "gone,wrong,skipped", "--rounds", "2")
        self.assertEqual(status, 1)
        self.assertRegex(out, "\ngone .* MISSING: NEW lacks 2 rounds: status 1: it is gone")
        self.assertRegex(out, "\nwrong .* WRONG ANSWERS: 2 wrong answers")
        self.assertRegex(out, "\nskipped .* skipped: no GPU")
        # Not again in each round.
        self.assertEqual(sum(line.split()[1] == "skipped" for line in self.logged()), 2)

    def test_nothing_measured_is_no_success(self):
        self.assertEqual(self.ab(self.old, self.new, "--only", "skipped", "--rounds", "2")[0], 1)

    def test_a_run_without_end_is_ended(self):
        status, out, _ = self.ab(self.old, self.old, "--only", "slow", "--rounds", "1", "--seconds-max", "1")
        self.assertEqual(status, 1)
        self.assertIn("no result after 1 s", out)

    def test_stopped_it_prints_what_there_is(self):
        process = self.start(self.old, self.new, "--only", "fast,slow", "--rounds", "10")
        while not (os.path.exists(self.log) and any("slow" in line for line in self.logged())):
            self.assertIsNone(process.poll())
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, err)
        self.assertRegex(out, "\nfast .* inconclusive: 1 rounds of at least 10")

    def test_list_only_without(self):
        self.assertEqual(self.ab(self.old, self.new, "--list")[:2], (0, "fast\nslow\nwrong\ngone\nskipped\n"))
        self.assertEqual(self.ab(self.old, self.new, "--list", "--without", "slow,gone")[1],
                         "fast\nwrong\nskipped\n")

    def test_paths_are_the_users_under_bazel_run(self):
        environment = {**os.environ, "BUILD_WORKING_DIRECTORY": self.folder}
        self.assertEqual(self.ab("old", "new", "--list", env=environment, cwd="/")[0], 0)

    def refused(self, status, text, *argv):
        done, out, err = self.ab(*argv)
        self.assertEqual((done, out), (status, ""), err)
        self.assertTrue(err.startswith("ab: "), err)
        self.assertIn(text, err)

    def test_wrong_folders_are_named_with_the_remedy(self):
        self.refused(1, "OLD: there is no folder /nowhere", "/nowhere", self.new)
        empty = os.path.join(self.folder, "empty")
        os.makedirs(os.path.join(empty, "bazel-bin"))
        self.refused(1, "is a checkout; give its bazel-bin", self.old, empty)
        self.refused(1, "has no bench/gates; `bazel build //bench:gates`", self.old,
                     os.path.join(empty, "bazel-bin"))
        self.refused(1, "has no bench/latency", self.old, self.new, "--program", "latency")

    def test_a_program_without_its_mediator_is_refused(self):
        os.remove(os.path.join(self.new, "mediator", "mediator"))
        self.refused(1, "no mediator beside it", self.old, self.new)

    def test_sanitizers_are_refused(self):
        for file in ("bench/programs/gates", "mediator/mediator"):
            new = self.build("sanitized", 1)
            with open(os.path.join(new, file), "a", encoding="utf-8") as stream:
                stream.write("# __asan_init\n")
            self.refused(1, "was built with AddressSanitizer", self.old, new)

    def test_wrong_command_lines(self):
        self.refused(2, "'nonsense' is no measurement; these are: fast", self.old, self.new, "--only",
                     "nonsense")
        for bad in ("0", "-1", "nan", "1e3", "9999999"):
            self.refused(2, f"'{bad}' is not a number of rounds", self.old, self.new, f"--rounds={bad}")
        self.refused(2, "no name of a benchmark", self.old, self.new, "--program", "../gates")
        self.refused(2, "required: NEW", self.old)

    def test_result_that_cannot_be_written_is_known_at_once(self):
        self.refused(1, "cannot write /nowhere/result.json", self.old, self.new, "--json",
                     "/nowhere/result.json")
        self.assertFalse(os.path.exists(self.log))


class RealBuild(unittest.TestCase):
    def test_this_build_beside_itself(self):
        if "TEST_SRCDIR" not in os.environ:
            self.skipTest("only Bazel lays a build beside this test")
        root = os.path.join(os.environ["TEST_SRCDIR"], os.environ["TEST_WORKSPACE"])
        if len(os.sched_getaffinity(0)) < 2:
            self.skipTest("a measurement needs two processors")
        done = subprocess.run([os.path.join(HERE, "ab.py"), root, root, "--only", "saturated", "--rounds",
                               "2"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                              timeout=100)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertRegex(done.stdout, r"\ndoorbells per request when saturated .* 2 +inconclusive")


if __name__ == "__main__":
    print(f"seed {SEED} (VGPU_TEST_SEED)")
    unittest_xml.main()
