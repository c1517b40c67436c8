"""Time `fiapx extract` against other ways to one PNG per second in a ZIP, in turn, on the same videos.

The peers: `reference`, ffmpeg's fps=1 to PNG files and a deflated ZIP of them; `stored`, the same with a stored ZIP; and loops over
OpenCV, PyAV and decord with stored ZIPs. A peer that cannot be imported, or fails on a video, is left out there. Each round runs
everything once; the first round warms up and does not count. Printed are medians.
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

MODULES = {"opencv": "cv2", "pyav": "av", "decord": "decord"}
PEERS = ["reference", "stored", *MODULES]


def through_files(video, archive):
    with tempfile.TemporaryDirectory(dir=os.path.dirname(archive.filename)) as folder:
        command = ["ffmpeg", "-v", "error", "-nostdin", "-i", video, "-vf", "fps=1", f"{folder}/frame_%06d.png"]
        subprocess.run(command, check=True)
        for name in sorted(os.listdir(folder)):
            archive.write(os.path.join(folder, name), name)


def through_opencv(video, archive):
    import cv2

    capture = cv2.VideoCapture(video)
    rate, position, second = capture.get(cv2.CAP_PROP_FPS), 0, 0
    while capture.grab():
        if position / rate >= second:
            _, picture = capture.retrieve()
            archive.writestr(f"{second:06}.png", cv2.imencode(".png", picture)[1].tobytes())
            second += 1
        position += 1
    if second == 0:
        raise SystemExit("no picture")


def through_pyav(video, archive):
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


def through_decord(video, archive):
    import cv2
    import decord

    reader = decord.VideoReader(video, num_threads=0)
    rate = reader.get_avg_fps()
    for second in range(int(len(reader) / rate)):
        picture = reader[int(second * rate)].asnumpy()[:, :, ::-1]
        archive.writestr(f"{second:06}.png", cv2.imencode(".png", picture)[1].tobytes())


def run_peer(peer, video, output):
    ways = {"opencv": through_opencv, "pyav": through_pyav, "decord": through_decord}
    method = zipfile.ZIP_DEFLATED if peer == "reference" else zipfile.ZIP_STORED
    with zipfile.ZipFile(output, "w", method) as archive:
        ways.get(peer, through_files)(video, archive)


def timed(command):
    """Wall seconds, CPU seconds and peak megabytes of a command and its children, or None where it fails."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    return (wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024) if status == 0 else None


def race(video, rounds):
    runs, sizes = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        output = os.path.join(folder, "archive.zip")
        commands = {"fiapx": ["target/release/fiapx", "extract", video, "-o", output, "--progress", "never"]}
        for peer in PEERS:
            if peer not in MODULES or importlib.util.find_spec(MODULES[peer]):
                commands[peer] = [sys.executable, __file__, "--peer", peer, video, output]
        for counts in [False] + [True] * rounds:
            for name, command in list(commands.items()):
                if os.path.exists(output):
                    os.remove(output)
                result = timed(command)
                if result is None:
                    del commands[name]
                    runs.pop(name, None)
                elif counts:
                    runs.setdefault(name, []).append(result)
                    sizes[name] = os.path.getsize(output) / 1e6
    return {name: (*(statistics.median(column) for column in zip(*rows)), sizes[name]) for name, rows in runs.items()}


def main():
    if sys.argv[1:2] == ["--peer"]:
        return run_peer(*sys.argv[2:5])
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("videos", nargs="+")
    arguments = arguments.parse_args()
    print(f"{os.cpu_count()} cores, {platform.machine()}; median of {arguments.rounds} rounds")
    print("| video | | wall s | CPU s | peak MB | archive MB | times our wall |\n|---|---|---|---|---|---|---|")
    ratios = {}
    for video in arguments.videos:
        results = race(video, arguments.rounds)
        if "fiapx" not in results:
            print(f"| {os.path.basename(video)} | fiapx failed | | | | | |")
            continue
        ours = results["fiapx"][0]
        for name, (wall, cpu, memory, size) in results.items():
            ratio = wall / ours
            ratios.setdefault(name, []).append(ratio)
            row = f"{wall:.2f} | {cpu:.2f} | {memory:.0f} | {size:.1f} | {ratio:.2f}"
            print(f"| {os.path.basename(video)} | {name} | {row} |", flush=True)
    for name, values in ratios.items():
        print(f"{name}: least {min(values):.2f}, geometric mean {statistics.geometric_mean(values):.2f}")


if __name__ == "__main__":
    main()
