"""The reference library's side of `cargo bench -p classad`, through PyPI's `htcondor`.

The first line of standard input is a JSON object of cases; every line after it names an operation,
and is answered with the nanoseconds that one took in a round of many. The other side takes the
least of several rounds, its own between them. The cost of a call from Python is in the figures: it
is what a Python program pays; `empty` is that cost alone, the evaluation of a constant.
"""
import json
import sys
import time

import classad2

ROUND_SECONDS = 0.1


def round_of(operation):
    count = 1
    while True:
        start = time.perf_counter()
        for _ in range(count):
            operation()
        elapsed = time.perf_counter() - start
        if elapsed >= ROUND_SECONDS / 2:
            return elapsed / count * 1e9
        count = max(count * 2, int(count * ROUND_SECONDS / max(elapsed, 1e-9)))


def main():
    cases = json.loads(sys.stdin.readline())
    job = classad2.parseOne(cases["job"])
    machine = classad2.parseOne(cases["machine"])
    three = classad2.ExprTree(cases["three_clauses"])
    literal = classad2.ExprTree("1")
    assert three.eval(machine) is True
    assert job.symmetricMatch(machine)
    operations = {
        "parse": lambda: classad2.ExprTree(cases["four_clauses"]),
        "ad": lambda: classad2.parseOne(cases["machine"]),
        "evaluate": lambda: three.eval(machine),
        "match": lambda: job.symmetricMatch(machine),
        "empty": lambda: literal.eval(machine),
    }
    print(classad2.version(), flush=True)
    for line in sys.stdin:
        print(round_of(operations[line.strip()]), flush=True)


main()
