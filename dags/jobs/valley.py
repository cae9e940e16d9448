#!/usr/bin/env python3
"""One trial: reads its parameters where UPDRAFT_PARAMS points, reports a metric where UPDRAFT_METRICS points."""

import json
import os

with open(os.environ["UPDRAFT_PARAMS"], encoding="utf-8") as file:
    params = json.load(file)

x, y = params["x"], params["y"]
height = (1 - x) ** 2 + 100 * (y - x * x) ** 2

# One JSON object per line, as often as there is something to report; the last value of a name counts.
with open(os.environ["UPDRAFT_METRICS"], "a", encoding="utf-8") as file:
    file.write(json.dumps({"height": height}) + "\n")

print(f"at x = {x:.4f}, y = {y:.4f} the valley is {height:.4f} high")
