"""Compare the time of `fiapx extract` with other programs that write one PNG per second to a ZIP.

Peers: `reference`, FFmpeg's fps=1 to PNG files and a deflated ZIP of them; `stored`, the same with
a stored ZIP; and loops over OpenCV, PyAV and decord with stored ZIPs. A peer that cannot be
imported or fails on a video is omitted for that video. Each round runs every program once, in turn;
the first round warms up and does not count. The table shows medians.
"""

import argparse
import importlib.util
import io
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from typing import NamedTuple

MODULES = {"opencv": "cv2", "pyav": "av", "decord": "decord"}
PEERS = ["reference", "stored", *MODULES]


def with_files(video, archive):
    with tempfile.TemporaryDirectory(dir=os.path.dirname(archive.filename)) as folder:
        frames = os.path.join(folder, "frame_%06d.png")
        command = ["ffmpeg", "-v", "error", "-nostdin", "-i", video, "-vf", "fps=1", frames]
        subprocess.run(command, check=True)
        for name in sorted(os.listdir(folder)):
            archive.write(os.path.join(folder, name), name)


def with_opencv(video, archive):
    import cv2

    capture = cv2.VideoCapture(video)
    rate, position, second = capture.get(cv2.CAP_PROP_FPS), 0, 0
    while capture.grab():
        if position / rate >= second:
            _, frame = capture.retrieve()
            archive.writestr(f"{second:06}.png", cv2.imencode(".png", frame)[1].tobytes())
            second += 1
        position += 1
    if second == 0:
        raise SystemExit("no frames")


def with_pyav(video, archive):
    import av

    container = av.open(video)
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    second = 0
    for frame in container.decode(stream):
        if frame.time is not None and frame.time >= second:
            png = io.BytesIO()
            frame.to_image().save(png, "PNG")
            archive.writestr(f"{second:06}.png", png.getvalue())
            second += 1


def with_decord(video, archive):
    import cv2
    import decord

    reader = decord.VideoReader(video, num_threads=0)
    rate = reader.get_avg_fps()
    for second in range(int(len(reader) / rate)):
        frame = reader[int(second * rate)].asnumpy()[:, :, ::-1]
        archive.writestr(f"{second:06}.png", cv2.imencode(".png", frame)[1].tobytes())


def run_peer(peer, video, output):
    functions = {"opencv": with_opencv, "pyav": with_pyav, "decord": with_decord}
    method = zipfile.ZIP_DEFLATED if peer == "reference" else zipfile.ZIP_STORED
    with zipfile.ZipFile(output, "w", method) as archive:
        functions.get(peer, with_files)(video, archive)


class Run(NamedTuple):
    """Resources that a command and its children used, and the size of its archive."""

    wall_seconds: float
    cpu_seconds: float
    peak_memory_mb: float
    archive_mb: float


def run(command, output):
    """Run a command that writes the archive `output`. Return None if it fails."""
    if os.path.exists(output):
        os.remove(output)
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    if status != 0:
        return None
    cpu = usage.ru_utime + usage.ru_stime
    return Run(wall, cpu, usage.ru_maxrss / 1024, os.path.getsize(output) / 1e6)


def commands(video, output):
    """Commands of all programs that are installed."""
    extract = ["target/release/fiapx", "extract", video, "-o", output, "--force", "--progress", "never"]
    installed = {"fiapx": extract}
    for peer in PEERS:
        if peer not in MODULES or importlib.util.find_spec(MODULES[peer]):
            installed[peer] = [sys.executable, __file__, "--peer", peer, video, output]
    return installed


def race(video, rounds):
    """Median of each value for each program that did not fail."""
    runs = {}
    with tempfile.TemporaryDirectory() as folder:
        output = os.path.join(folder, "archive.zip")
        remaining = commands(video, output)
        for is_warm_up in [True] + [False] * rounds:
            for name, command in list(remaining.items()):
                result = run(command, output)
                if result is None:
                    del remaining[name]
                    runs.pop(name, None)
                elif not is_warm_up:
                    runs.setdefault(name, []).append(result)
    return {name: Run(*map(statistics.median, zip(*results))) for name, results in runs.items()}


def main():
    if sys.argv[1:2] == ["--peer"]:
        return run_peer(*sys.argv[2:5])
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("videos", nargs="+")
    arguments = arguments.parse_args()
    print(f"{os.cpu_count()} cores, {platform.machine()}; median of {arguments.rounds} rounds")
    print("| video | | wall s | CPU s | peak MB | archive MB | times our wall |")
    print("|---|---|---|---|---|---|---|")
    ratios = {}
    for video in arguments.videos:
        video_name = os.path.basename(video)
        results = race(video, arguments.rounds)
        if "fiapx" not in results:
            print(f"| {video_name} | fiapx failed | | | | | |")
            continue
        for name, result in results.items():
            ratio = result.wall_seconds / results["fiapx"].wall_seconds
            ratios.setdefault(name, []).append(ratio)
            row = (
                f"{result.wall_seconds:.2f} | {result.cpu_seconds:.2f} | "
                f"{result.peak_memory_mb:.0f} | {result.archive_mb:.1f} | {ratio:.2f}"
            )
            print(f"| {video_name} | {name} | {row} |", flush=True)
    for name, values in ratios.items():
        mean = statistics.geometric_mean(values)
        print(f"{name}: minimum {min(values):.2f}, geometric mean {mean:.2f}")


if __name__ == "__main__":
    main()
