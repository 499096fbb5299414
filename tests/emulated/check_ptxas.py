#!/usr/bin/env python3
"""Holds registers, stack and spills of every CUDA kernel against recorded upper bounds.

Reads the *.ptxas files that the build leaves beside the objects (what `ptxas -v` said). The bounds
hold for one version of nvcc: another version is a skip (exit status 77). A kernel or architecture
without a bound fails; a bound without a kernel fails too, unless that architecture was not built.
--record writes the file anew from what was built; look at the difference before you commit it.
"""
import argparse
import pathlib
import re
import sys

ENTRY = re.compile(r"Compiling entry function '(\w+)' for '(sm_\w+)'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
REGISTERS = re.compile(r"Used (\d+) registers")


def plain_name(mangled):
    """op_dir_kernel or op_dir_kernel<4,float>, from the name that C++ gives it."""
    match = re.match(r"_ZL?(\d+)", mangled)
    if not match:
        return mangled
    end = match.end() + int(match.group(1))
    name, rest = mangled[match.end():end], mangled[end:]
    if not rest.startswith("I"):
        return name
    arguments, rest = [], rest[1:]
    while rest and not rest.startswith("E"):
        if match := re.match(r"L[ib](\d+)E", rest):
            arguments.append(match.group(1))
        elif match := re.match(r"f", rest):
            arguments.append("float")
        elif match := re.match(r"S\d*_", rest):  # the type before it, again
            arguments.append(arguments[-1])
        elif match := re.match(r"(\d+)", rest):  # a type's name, after its length
            start, length = match.end(), int(match.group(1))
            match = re.match(r".{%d}" % (start + length), rest)
            arguments.append(rest[start:start + length])
        else:
            return name
        rest = rest[match.end():]
    return "%s<%s>" % (name, ",".join(arguments))


def parse(text):
    """{(kernel, architecture): (registers, stack, spill)} of one log."""
    used, entry, stack, spill = {}, None, 0, 0
    for line in text.splitlines():
        if match := ENTRY.search(line):
            entry = (plain_name(match.group(1)), match.group(2))
        elif match := FRAME.search(line):
            stack, spill = int(match.group(1)), int(match.group(2)) + int(match.group(3))
        elif (match := REGISTERS.search(line)) and entry:
            used[entry] = (int(match.group(1)), stack, spill)
            entry = None
    return used


def read_bounds(path):
    """The nvcc version and {(kernel, architecture): (registers, stack, spill)}."""
    version, bounds = None, {}
    for line in path.read_text().splitlines():
        words = line.split()
        if words[:1] == ["nvcc"]:
            version = words[1]
        elif words and not line.startswith("#"):
            bounds[words[0], words[1]] = tuple(map(int, words[2:5]))
    return version, bounds


def record(path, version, used):
    lines = ["# Upper bounds of what ptxas -v reports; see tests/emulated/check_ptxas.py. A spill is a",
             "# finding, not a bound to raise.", "nvcc " + version,
             "# kernel architecture registers stack_bytes spill_bytes"]
    lines += ["%s %s %d %d %d" % (key + used[key]) for key in sorted(used)]
    path.write_text("\n".join(lines) + "\n")


def compare(used, bounds):
    """What is wrong, as lines of text."""
    built = {architecture for _, architecture in used}
    for key in sorted(used):
        if key not in bounds:
            yield "%s %s: no bound recorded" % key
            continue
        for what, value, bound in zip(("registers", "bytes of stack", "bytes spilled"), used[key],
                                      bounds[key]):
            if value > bound:
                yield "%s %s: %d %s, at most %d expected" % (key + (value, what, bound))
    for key in sorted(set(bounds) - set(used)):
        if key[1] in built:
            yield "%s %s: a bound, but no such kernel was built" % key


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nvcc-version", required=True)
    parser.add_argument("--objects", required=True, type=pathlib.Path)
    parser.add_argument("--bounds", required=True, type=pathlib.Path)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()

    used = {}
    for log in sorted(options.objects.rglob("*.ptxas")):
        if log.with_suffix("").exists():
            used.update(parse(log.read_text()))
    if not used:
        sys.exit("no kernel found in the *.ptxas files under %s: build first" % options.objects)
    if options.record:
        record(options.bounds, options.nvcc_version, used)
        return
    version, bounds = read_bounds(options.bounds)
    if version != options.nvcc_version:
        print("skipped: bounds are for nvcc %s, this is %s" % (version, options.nvcc_version))
        sys.exit(77)
    wrong = list(compare(used, bounds))
    print("%d kernels and architectures, %d above their bounds or without" % (len(used), len(wrong)))
    sys.exit("\n".join(wrong) if wrong else 0)


if __name__ == "__main__":
    main()
