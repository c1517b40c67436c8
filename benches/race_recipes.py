"""Compare recipes of `fiapx extract` with ffmpeg commands that do the same, on one long video.

usage: benches/race_recipes.py [--rounds N] [--rows NAME,...] VIDEO

Every row runs each program once per round, in turn. The table shows medians, and the bytes that each
program read, as Linux counts them (`rchar` in /proc/PID/io).
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

FIAPX = "target/release/fiapx"
SCENES = "select='eq(n,0)+gt(scene,0.3)'"
TIMES = 20


class Run(NamedTuple):
    """Resources of one or several commands."""

    wall_seconds: float
    cpu_seconds: float
    peak_memory_mb: float
    read_mb: float


def run(command):
    """Run a command. Its bytes read are known as soon as it has ended and before it is reaped."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    wall = time.monotonic() - start
    try:
        with open(f"/proc/{process.pid}/io") as counters:
            read = int(counters.readline().split()[1])
    except OSError:
        read = 0
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"failed: {' '.join(command)}")
    cpu = usage.ru_utime + usage.ru_stime
    return Run(wall, cpu, usage.ru_maxrss / 1024, read / 1e6)


def run_all(commands, at_once=1):
    """Run several commands, some of them at once, and add up their resources."""
    start = time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        runs = list(pool.map(run, commands))
    wall = time.monotonic() - start
    cpu, memory, read = (sum(run[i] for run in runs) for i in (1, 2, 3))
    return Run(wall, cpu, memory * at_once / len(runs), read)


def ffmpeg(video, before, after):
    return ["ffmpeg", "-v", "error", "-nostdin", "-y", *before, "-i", video, "-an", *after]


def duration(video):
    entries = ["-show_entries", "format=duration", "-of", "csv=p=0"]
    return float(subprocess.check_output(["ffprobe", "-v", "error", *entries, video]))


def rows(video, folder):
    """For each row: the programs by name, as functions that run them."""
    archive = os.path.join(folder, "archive.zip")
    length = duration(video)

    def fiapx(*recipe):
        options = ["-o", archive, "--force", "--progress", "never", *recipe]
        return [FIAPX, "extract", video, *options]

    def seek(second, name):
        frame = ["-frames:v", "1", os.path.join(folder, name)]
        return ffmpeg(video, ["-ss", f"{second:.6f}"], frame)

    def files(suffix):
        return os.path.join(folder, f"%06d.{suffix}")

    middles = [(i + 0.5) * length / 12 for i in range(12)]
    times = [(i + 0.37) * length / TIMES for i in range(TIMES)]
    passthrough = ["-fps_mode", "passthrough"]
    small = ["-vf", "scale=640:-1", *passthrough, files("jpg")]
    return {
        "count 12": {
            "fiapx": lambda: run(fiapx("--count", "12")),
            "12 ffmpeg -ss, two at a time": lambda: run_all(
                [seek(second, f"{i}.png") for i, second in enumerate(middles)], 2
            ),
        },
        f"one time, {TIMES} runs": {
            "fiapx": lambda: run_all([fiapx("--at", f"{second:.6f}") for second in times]),
            "ffmpeg -ss": lambda: run_all([seek(second, "at.png") for second in times]),
        },
        "key frames, JPEG, 640 wide": {
            "fiapx": lambda: run(fiapx("--keyframes", "--format", "jpeg", "--max-width", "640")),
            "ffmpeg -skip_frame nokey": lambda: run(ffmpeg(video, ["-skip_frame", "nokey"], small)),
        },
        "scenes": {
            "fiapx": lambda: run(fiapx("--scenes")),
            "ffmpeg select": lambda: run(
                ffmpeg(video, [], ["-vf", SCENES, *passthrough, files("png")])
            ),
            "decoding alone": lambda: run(
                ffmpeg(video, ["-threads", str(os.cpu_count())], ["-f", "null", "-"])
            ),
        },
        "every second, JPEG, 640 wide": {
            "fiapx": lambda: run(fiapx("--format", "jpeg", "--max-width", "640")),
            "fiapx, PNG": lambda: run(fiapx()),
        },
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--rows", help="beginnings of the names of the rows to run")
    arguments.add_argument("video")
    arguments = arguments.parse_args()
    chosen = tuple(arguments.rows.split(",")) if arguments.rows else ("",)
    size = os.path.getsize(arguments.video) / 1e6
    print(f"{os.cpu_count()} cores, {size:.0f} MB; median of {arguments.rounds} rounds")
    print("| recipe | program | wall s | CPU s | peak MB | read MB | times our wall |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, programs in rows(arguments.video, folder).items():
            if not name.startswith(chosen):
                continue
            runs = {program: [] for program in programs}
            for _ in range(arguments.rounds):
                for program, start in programs.items():
                    runs[program].append(start())
            medians = {p: Run(*map(statistics.median, zip(*r))) for p, r in runs.items()}
            ours = medians["fiapx"].wall_seconds
            for program, (wall, cpu, memory, read) in medians.items():
                values = f"{wall:.2f} | {cpu:.2f} | {memory:.0f} | {read:.0f} | {wall / ours:.2f}"
                print(f"| {name} | {program} | {values} |", flush=True)


if __name__ == "__main__":
    main()
