"""Runs the operator test cases and reports what passes.

    python conformance.py PROGRAM CASES [--expectations FILE [--update]] [--table FILE] [-- options of the program]

Every case ends as `pass`, `wrong` (an answer that is not the published one), `error` (refused with a typed error), `crash` or `hang`.
With --expectations the outcomes are compared with a committed list of those that do not pass; any other outcome fails the run.
"""

import argparse
import collections
import json
import pathlib
import re
import subprocess
import sys
import threading

SECONDS_A_CASE = 120


def run(program, cases, options):
    """Outcome and reason by case. The program is started again behind a case that ends it."""
    outcomes, after = {}, None
    while True:
        command = [program, str(cases), *options] + (["--after", after] if after else [])
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        begun, hung = None, []
        for line in watched(process, hung):
            entry = json.loads(line)
            if entry["outcome"] == "begins":
                begun = entry["name"]
            else:
                outcomes[entry["name"]] = (entry["outcome"], entry.get("reason"))
                begun = None
                if sys.stderr.isatty():
                    print(f"\r{len(outcomes)} cases", end="", file=sys.stderr)
        process.wait()
        if begun is None:
            if process.returncode != 0:
                sys.exit(f"{program} ended with {process.returncode}")
            return outcomes
        outcomes[begun] = ("hang", f"no answer in {SECONDS_A_CASE} s") if hung else ("crash", f"ended with {process.returncode}")
        after = begun


def watched(process, hung):
    """The lines of the process, which is killed when one is long in coming."""
    while True:
        timer = threading.Timer(SECONDS_A_CASE, lambda: (hung.append(True), process.kill()))
        timer.start()
        line = process.stdout.readline()
        timer.cancel()
        if not line:
            return
        yield line


def subject(name, operators):
    """The operator a case is about: the one its name begins with, or the only one it has."""
    words = re.sub(r"^(test|more)_", "", name).split("_")
    for length in range(len(words), 0, -1):
        word = "".join(words[:length]).lower()
        for operator in operators:
            if operator.lower() == word:
                return operator
    return operators[0] if len(operators) == 1 else None


def table(cases, outcomes):
    """The support table in Markdown: operators and versions, how many cases pass, why others do not."""
    rows = collections.defaultdict(lambda: [0, 0, collections.Counter()])
    for name, (outcome, reason) in outcomes.items():
        case = json.loads((cases / name / "case.json").read_text())
        operator = subject(name, case["operators"])
        if operator is None and len(case["operators"]) != 1:
            continue
        row = rows[operator, case["version"]]
        row[1] += 1
        if outcome == "pass":
            row[0] += 1
        else:
            row[2][f"{outcome}: {reason_line(reason)}"] += 1
    lines = ["| operator | operator set | pass | what does not |", "|---|---|---|---|"]
    for (operator, version), (passed, total, reasons) in sorted(rows.items()):
        text = "; ".join(f"{reason} ({count})" if count > 1 else reason for reason, count in reasons.most_common(3))
        lines.append(f"| {operator} | {version or 'other domain'} | {passed} of {total} | {text} |")
    return lines


def reason_line(reason):
    """The reason without paths and without what would break the table."""
    text = re.sub(r"\S*/model\.onnx: ?", "", reason or "").replace("|", "\\|").replace("\n", " ")
    text = re.sub(r", in \S*/model\.onnx", "", text)
    return text if len(text) < 160 else text[:157] + "..."


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("cases", type=pathlib.Path)
    parser.add_argument("--expectations", type=pathlib.Path)
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--table", type=pathlib.Path)
    parser.add_argument("--outcomes", type=pathlib.Path, help="write every outcome as JSON")
    arguments, options = parser.parse_known_args()
    outcomes = run(arguments.program, arguments.cases, [option for option in options if option != "--"])
    counts = collections.Counter(outcome for outcome, _ in outcomes.values())
    print(f"{len(outcomes)} cases: " + ", ".join(f"{counts[outcome]} {outcome}" for outcome in ["pass", "wrong", "error", "crash", "hang"]))
    if arguments.outcomes:
        arguments.outcomes.write_text(json.dumps(outcomes, indent=1, sort_keys=True))
    failures = {name: outcome for name, (outcome, _) in outcomes.items() if outcome != "pass"}
    if arguments.table:
        # Cases of our own check the same operators further; the count that means something elsewhere is that of the published ones.
        published = collections.Counter(outcome for name, (outcome, _) in outcomes.items() if name.startswith("test_"))
        version = (arguments.cases / "version").read_text()
        arguments.table.write_text("\n".join([
            "# ONNX operators", "",
            f"The operator tests of the onnx package {version}, run on the CPU backend: {published['pass']} of {sum(published.values())} "
            f"pass, {published['error']} are refused with an error, {published['wrong']} answer something else. The rows count cases of our own too. "
            "Made by `Scripts/onnx-conformance --update`.", "",
            *table(arguments.cases, outcomes), ""]))
    if arguments.expectations:
        if arguments.update:
            arguments.expectations.write_text("".join(f"{name} {outcome}\n" for name, outcome in sorted(failures.items())))
            return
        expected = dict(line.split() for line in arguments.expectations.read_text().splitlines() if line and not line.startswith("#"))
        differing = sorted(name for name in outcomes if failures.get(name, "pass") != expected.get(name, "pass"))
        for name in differing:
            print(f"{name}: {' '.join(str(part) for part in outcomes[name] if part)}, expected {expected.get(name, 'pass')}")
        missing = sorted(set(expected) - set(outcomes))
        for name in missing:
            print(f"{name}: expected, and there is no such case")
        sys.exit(1 if differing or missing else 0)


main()
