#!/usr/bin/env python3
"""report.py RESULTS DIRECTORY - benchmarks.md and benchmarks.svg from what bench.py measured. Rows that were not run this time keep the figures of the last
time, from benchmarks.json beside them."""

import json
import math
import os
import sys
from xml.sax.saxutils import escape

import rows

COLORS = {"mailhaul": "#1b6ca8", "floor": "#9aa5b1"}
OTHERS = "#d9a441"
INTRODUCTION = """# Benchmarks

    make bench            # all rows; ROWS='imaps-40ms*,thousand' chooses, ROUNDS=5 repeats

mailhaul and the peers that are installed do the same work in one run, interleaved; medians of the rounds (a program that needs more than 15 s for a row does it
once). Source: Dovecot on this machine, TLS 1.3, its mail in memory; "40 ms" is the round trip of a proxy in between, bandwidth unlimited, connecting takes one
round trip, too. Everything is kept at the source. Sinks are Postfix's smtp-sink, which keeps nothing. Each run has a directory of its own on ext4, and nothing
is deleted in between. The floor is a client that logs in, selects and fetches everything in one flight and throws it away. Times depend on the machine and
on what else it does; compare them within a row only. Ratio: to the best peer of the row (not mailhaul, not the floor). Processor: user and system, all
processes. Flights: turns of direction at the proxy, TLS, login and farewell included. Calls and instructions: per message, from the difference of two mailboxes,
start-up left out; instructions by callgrind, which has no SHA instructions, so that hashing counts several times what it costs here.
"""


def number(value, form="%.3f"):
    return "" if value is None else form % value


def table(result):
    figures = result["programs"]
    peers = [entry for name, entry in figures.items() if name not in ("mailhaul", "floor")]
    best = min((entry["seconds"] for entry in peers), default=None)
    yield "| | time s | ratio | processor s | flights | calls | instructions | peak MiB |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, entry in sorted(figures.items(), key=lambda item: item[1]["seconds"]):
        flights = entry.get("flights", entry.get("sink_flights"))
        peaks = " / ".join("%.1f" % (peak / 1024) for peak in entry.get("peaks", [])[:3])
        yield "| %s | %s | %s | %s | %s | %s | %s | %s |" % (
            name, number(entry["seconds"]), number(entry["seconds"] / best if best else None, "%.2f"), number(entry["processor"]), number(flights, "%d"),
            number(entry.get("calls"), "%.1f"), number(entry.get("instructions"), "%d"), peaks)
    for name, why in result["failed"].items():
        yield "| %s | %s | | | | | | |" % (name, why)


def write_table(results, path):
    lines = [INTRODUCTION, "![Times, as a multiple of the best peer's](benchmarks.svg)", ""]
    lines += ["## Goals", "", "| goal | measured | at most | |", "|---|---|---|---|"]
    for words, figure, most in rows.Goals(results).measured():
        lines.append("| %s | %.3g | %.3g | %s |" % (words, figure, most, "met" if figure <= most else "**missed**"))
    for name, result in results.items():
        lines += ["", "## %s" % result["title"], "", "`%s`" % name, ""]
        lines += table(result)
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def write_chart(results, path):
    """A bar for each program and row, as long as the logarithm of its time over the shortest of the row."""


    bars, y = [], 30
    for result in results.values():
        ordered = sorted(result["programs"].items(), key=lambda item: item[1]["seconds"])
        if not ordered:
            continue
        bars.append('<text x="10" y="%d" font-weight="bold">%s</text>' % (y, escape(result["title"])))
        shortest = ordered[0][1]["seconds"]
        for name, entry in ordered:
            y += 16
            width = 4 + 90 * math.log2(entry["seconds"] / shortest)
            bars.append('<text x="95" y="%d" text-anchor="end">%s</text>' % (y, escape(name)))
            bars.append('<rect x="100" y="%d" width="%.0f" height="11" fill="%s"/>' % (y - 10, width, COLORS.get(name, OTHERS)))
            bars.append('<text x="%.0f" y="%d">%.2f s</text>' % (106 + width, y, entry["seconds"]))
        y += 28
    with open(path, "w", encoding="utf-8") as file:
        file.write('<svg xmlns="http://www.w3.org/2000/svg" width="1100" height="%d" font-family="sans-serif" font-size="12">\n' % y)
        file.write('<rect width="100%" height="100%" fill="white"/>\n')
        file.write('<text x="10" y="14">Time; each 90 units of a bar are a factor of two over the fastest of its row</text>\n')
        file.write("\n".join(bars) + "\n</svg>\n")


def merged(new, path):
    """In the order of rows.py."""
    results = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            results = json.load(file)
    results.update(new)
    ordered = {row.name: results[row.name] for row in rows.ROWS if row.name in results}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(ordered, file, indent=1)
    return ordered


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        results = merged(json.load(file), os.path.join(sys.argv[2], "benchmarks.json"))
    write_table(results, os.path.join(sys.argv[2], "benchmarks.md"))
    write_chart(results, os.path.join(sys.argv[2], "benchmarks.svg"))


if __name__ == "__main__":
    main()
