#!/usr/bin/env python3
"""Does the optimizer beat random search on the example of `dags/mlp.study.toml`?

For every region the script makes the data with `updraft data synth`, and then, for every seed, runs
two searches of T trials over the space of the study file:

  optimizer  `updraft study ask-tell`, the study file's defaults as the prior point, one trial at a
             time, each told before the next is asked;
  random     the same defaults first, then points that are uniform in the space on its own scales:
             in the logarithm where the study says `log`, every whole number of an `int` with the
             share that its rounding interval has.

A trial is one `updraft train --epochs E` on the CPU. It gets its parameters by UPDRAFT_PARAMS and
its value by UPDRAFT_METRICS: the last report of the rmse counts, as it does in a study.
Both searches of a seed train with the same training seed, so they share the value of trial 1 and
differ only in the points that they choose. A trial whose training fails is told as failed, and is
never the best one.

What is compared is the best validation rmse after T trials. `floor` is what `data synth` says that
no model is expected to get below: no search can do anything about that part, so `excess ratio`
compares what is above it. 0.9 means that the optimizer's median is a tenth closer to the floor than
the median of random search. `reached` is the first trial at which the optimizer's median is as good
as that of random search after all of its trials. Ties count as no win; the sign test leaves them
out.

The result goes to standard output, progress to standard error. It repeats to the last digit on the
same machine with the same binary. Needs Python 3.11 and nothing besides its standard library.

    python3 manager/optimizer/benches/regions.py --updraft target/release/updraft --seeds 10 \\
        --trials 20 --epochs 15 --regions de,fr,jp
"""

import argparse
import hashlib
import json
import math
import os
import platform
import random
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

STUDY = Path(__file__).resolve().parents[3] / "dags" / "mlp.study.toml"
TARGET = "rating"
# The trainer's exit code for training that did not work, as against a command line that is wrong.
EXIT_WORK_FAILED = 1
SEARCHES = ("optimizer", "random")
# What the floor of `data synth` is about.
METRIC, GOAL = "rmse", "minimize"


def main():
    args = arguments()
    study = Study.read(args.study)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="regions-") as scratch:
        bench = Bench(args.updraft, study, Path(scratch), args.trials, args.epochs)
        regions = [bench.make_region(name) for name in args.regions]
        tasks = [
            (region, seed, search)
            for seed in range(1, args.seeds + 1)
            for region in regions
            for search in SEARCHES
        ]
        with ThreadPoolExecutor(args.jobs) as pool:
            curves = list(pool.map(lambda task: bench.run(*task), tasks))
    results = dict(zip(tasks, curves, strict=True))
    print_setting(args)
    print_table(regions, range(1, args.seeds + 1), args.trials, results)
    print(f"took {time.monotonic() - began:.0f} s, {args.jobs} processes at a time")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updraft", default="updraft", metavar="PATH", type=executable)
    parser.add_argument("--seeds", default=10, metavar="N", type=positive)
    parser.add_argument("--trials", default=20, metavar="T", type=positive)
    parser.add_argument("--epochs", default=15, metavar="E", type=positive)
    parser.add_argument("--regions", default="de,fr,jp", metavar="A,B,…", type=names)
    parser.add_argument("--jobs", default=2, metavar="N", type=positive, help="processes at a time")
    parser.add_argument("--study", default=STUDY, metavar="FILE", type=Path, help="the study file")
    return parser.parse_args()


def executable(text):
    found = shutil.which(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text} is not a program that can be run")
    return str(Path(found).resolve())


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def names(text):
    regions = text.split(",")
    if not all(re.fullmatch(r"[A-Za-z0-9_-]+", name) for name in regions):
        raise argparse.ArgumentTypeError("names of letters, digits, `_` and `-`, between commas")
    if len(set(regions)) < len(regions):
        raise argparse.ArgumentTypeError("a region stands there twice")
    return regions


@dataclass(frozen=True)
class Region:
    name: str
    data: Path
    floor: float  # no model is expected to get below


@dataclass(frozen=True)
class Study:
    """What the study file says: `space` maps names to their tables."""

    seed: int
    space: dict

    @classmethod
    def read(cls, path):
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        if (table["metric"], table["goal"]) != (METRIC, GOAL):
            raise ValueError(f"{path.name} does not {GOAL} {METRIC}")
        return cls(table["seed"], table["space"])

    def defaults(self):
        return {name: param["default"] for name, param in self.space.items()}

    def draw(self, rng):
        return {name: draw(param, rng) for name, param in self.space.items()}

    def wire_space(self):
        """The space in the words of `ask-tell`, which knows choices by their printed form."""
        space = {}
        for name, param in self.space.items():
            space[name] = {key: value for key, value in param.items() if key != "default"}
            if param["type"] == "categorical":
                space[name]["choices"] = [str(choice) for choice in param["choices"]]
        return space

    def to_wire(self, params):
        categorical = self._categorical()
        return {n: str(value) if n in categorical else value for n, value in params.items()}

    def from_wire(self, params):
        named = {
            name: {str(choice): choice for choice in self.space[name]["choices"]}
            for name in self._categorical()
        }
        return {n: named[n][value] if n in named else value for n, value in params.items()}

    def _categorical(self):
        return {name for name, param in self.space.items() if param["type"] == "categorical"}


def draw(param, rng):
    """A value that is uniform on the parameter's own scale."""
    match param["type"]:
        case "categorical":
            return rng.choice(param["choices"])
        case "float":
            return between(param, param["low"], param["high"], rng)
        case "int":
            value = between(param, param["low"] - 0.5, param["high"] + 0.5, rng)
            return min(max(round(value), param["low"]), param["high"])
        case other:
            raise ValueError(f"the study has a parameter of type {other}")


def between(param, low, high, rng):
    if param.get("log", False):
        # Rounding of the exponential must not leave the range.
        return min(max(math.exp(rng.uniform(math.log(low), math.log(high))), low), high)
    return rng.uniform(low, high)


class Bench:
    """Runs searches; they share nothing but the regions' data, which they only read."""

    def __init__(self, updraft, study, scratch, trials, epochs):
        self.updraft = updraft
        self.study = study
        self.scratch = scratch
        self.trials = trials
        self.epochs = epochs

    def make_region(self, name):
        data = self.scratch / name
        command = [self.updraft, "data", "synth", "--region", name, "--out", str(data)]
        command += ["--seed", str(self.study.seed)]
        made = subprocess.run(command, text=True, capture_output=True)
        if made.returncode != 0:
            raise RuntimeError(f"`data synth` of {name} failed: {made.stderr.strip()}")
        floor = re.search(r"expected below ([0-9.]+)", made.stdout + made.stderr)
        if floor is None:
            raise RuntimeError(f"`data synth` of {name} names no floor")
        return Region(name, data, float(floor[1]))

    def run(self, region, seed, search):
        """The best value after every trial."""
        folder = self.scratch / f"{region.name}-{seed}-{search}"
        folder.mkdir()
        choose = {"optimizer": self.with_optimizer, "random": self.at_random}[search]
        values = choose(region, seed, lambda params: self.train(region, seed, params, folder))
        curve, best = [], math.inf
        for value in values:
            best = min(best, math.inf if value is None else value)
            curve.append(best)
        print(f"{region.name} seed {seed} {search}: {curve[-1]:.4f}", file=sys.stderr, flush=True)
        return curve

    def with_optimizer(self, region, seed, train):
        values = []
        with AskTell(self.updraft) as conversation:
            conversation.say(
                space=self.study.wire_space(),
                goal=GOAL,
                seed=stream(region.name, seed),
                budget=self.trials,
                prior=self.study.to_wire(self.study.defaults()),
            )
            for _ in range(self.trials):
                [trial] = conversation.say(ask=1)["trials"]
                value = train(self.study.from_wire(trial["params"]))
                outcome = {"failed": True} if value is None else {"value": value}
                conversation.say(tell={"id": trial["id"], **outcome})
                values.append(value)
        return values

    def at_random(self, region, seed, train):
        rng = random.Random(stream(region.name, seed))
        points = [self.study.defaults()]
        points += [self.study.draw(rng) for _ in range(self.trials - 1)]
        return [train(params) for params in points]

    def train(self, region, seed, params, folder):
        """The metric of one training, or None if it failed."""
        written, metrics = folder / "params.json", folder / "metrics.jsonl"
        written.write_text(json.dumps(params), encoding="utf-8")
        metrics.unlink(missing_ok=True)
        command = [self.updraft, "train", "--target", TARGET, "--device", "cpu"]
        command += ["--train", str(region.data / "train.csv")]
        command += ["--validation", str(region.data / "validation.csv")]
        command += ["--epochs", str(self.epochs), "--seed", str(seed)]
        told = {"UPDRAFT_PARAMS": str(written), "UPDRAFT_METRICS": str(metrics)}
        ended = subprocess.run(command, env=os.environ | told, text=True, capture_output=True)
        if ended.returncode == EXIT_WORK_FAILED:
            return None
        if ended.returncode != 0:
            raise RuntimeError(f"`train` with {params} was refused: {ended.stderr.strip()}")
        lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
        return [line[METRIC] for line in lines if METRIC in line][-1]


def stream(region, seed):
    """A seed of its own for each region and seed: no two searches start with the same points."""
    digest = hashlib.blake2b(f"{region}/{seed}".encode(), digest_size=6).digest()
    return int.from_bytes(digest)


class AskTell:
    """A conversation with `updraft study ask-tell`: one line of JSON each way."""

    def __init__(self, updraft):
        pipe = subprocess.PIPE
        command = [updraft, "study", "ask-tell"]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def say(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        reply = json.loads(line) if line else {"error": "it ended"}
        if "error" in reply:
            raise RuntimeError(f"`study ask-tell` does not take {request}: {reply['error']}")
        return reply


def print_setting(args):
    shown = subprocess.run([args.updraft, "--version"], text=True, capture_output=True, check=True)
    print("$ " + shlex.join(["python3", *sys.argv]))
    print(f"on {cpu_model()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}")
    print(f"with {shown.stdout.strip()}, Python {platform.python_version()}")
    print(
        f"{args.seeds} seeds, {args.trials} trials of {args.epochs} epochs; "
        f"best validation {METRIC}, medians over seeds"
    )
    print()


def cpu_model():
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.processor() or "an unnamed cpu"


def print_table(regions, seeds, trials, results):
    heads = ("region", "floor", "default", *SEARCHES, "ratio", "excess ratio", "wins", "reached")
    widths = [max(9, len(head)) for head in heads]
    print("  ".join(f"{head:>{width}}" for head, width in zip(heads, widths, strict=True)))
    medians, wins, losses = [], 0, 0
    for region in regions:
        curves = {s: [results[region, seed, s] for seed in seeds] for s in SEARCHES}
        pairs = [(a[-1], b[-1]) for a, b in zip(*curves.values(), strict=True)]
        won = sum(ours < theirs for ours, theirs in pairs)
        wins += won
        losses += sum(ours > theirs for ours, theirs in pairs)
        ours, theirs = (statistics.median(ends) for ends in zip(*pairs, strict=True))
        medians.append((region.floor, ours, theirs))
        start = statistics.median(curve[0] for curve in curves["random"])
        cells = [region.name, *(f"{value:.4f}" for value in (region.floor, start, ours, theirs))]
        cells += [f"{ours / theirs:.4f}", f"{(ours - region.floor) / (theirs - region.floor):.3f}"]
        cells += [f"{won}/{len(pairs)}", reached(curves["optimizer"], theirs, trials)]
        print("  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)))
    floor, ours, theirs = (sum(column) for column in zip(*medians, strict=True))
    count = len(regions) * len(seeds)
    print(
        f"\nall regions: ratio {ours / theirs:.4f}, "
        f"excess ratio {(ours - floor) / (theirs - floor):.3f} (of the sums of medians); "
        f"the optimizer wins {wins} of {count} ({wins / count:.0%}) and loses {losses}, "
        f"sign test p = {sign_test(wins, losses):.2g}"
    )


def reached(curves, value, trials):
    """The first trial at which the median of the curves is as good as `value`."""
    for trial in range(trials):
        if statistics.median(curve[trial] for curve in curves) <= value:
            return str(trial + 1)
    return "never"


def sign_test(wins, losses):
    """Chance of an outcome at least as one-sided if either search were as likely to win."""
    pairs = wins + losses
    tail = sum(math.comb(pairs, k) for k in range(max(wins, losses), pairs + 1))
    return min(1.0, 2 * tail / 2**pairs)


if __name__ == "__main__":
    main()
