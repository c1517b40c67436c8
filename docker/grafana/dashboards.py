#!/usr/bin/env python3
"""Make the dashboards of Grafana: dashboards.py writes them, dashboards.py --check says whether they are what it would write.

Needs nothing but Python. Each panel is a line of data below; the rest is where it lies and what Grafana wants to read.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
FILE = HERE / "dashboards/service.json"
ALERTS = HERE.parent / "prometheus/alerts.yml"
RECORDING = HERE.parent / "prometheus/recording.yml"
FIGURES = HERE.parents[1] / "crates/app/src/figures.rs"


def panel(title, unit, *queries, limit=None, above=True, stacked=False):
    """A graph. A query is PromQL and the legend of its series; `limit` is where an alert begins, above or below it."""
    return {"title": title, "unit": unit, "queries": queries, "limit": limit, "above": above, "stacked": stacked}


def rate(figure, by=""):
    """Of a counter, so much a second."""
    return f"sum{f' by ({by})' if by else ''} (rate({figure}[$__rate_interval]))"


def quantile(share, figure):
    """Of a histogram."""
    return f"histogram_quantile({share}, sum by (le) (rate({figure}_bucket[$__rate_interval])))"


# Rows of panels. Units are Grafana's: s, reqps, ops, Bps, bytes, percentunit, short.
ROWS = {
    "What waits": [
        panel("Oldest job that waits", "s", ("fiapx:oldest_waiting_job_seconds:max", "oldest"), limit=600),
        panel("Jobs that are not finished", "short",
              ('state:fiapx_jobs:max{state=~"UPLOADED|QUEUED|PROCESSING"}', "{{state}}"), stacked=True),
        panel("Messages in queues", "short", ("queue:fiapx_queue_messages:max", "{{queue}}")),
        panel("Age of the outbox", "s", ("fiapx:outbox_age_seconds:max", "oldest"), limit=60),
    ],
    "Requests": [
        panel("Requests", "reqps", (rate("fiapx_requests_total", "route"), "{{route}}"), stacked=True),
        panel(
            "Latency, without uploads and event streams", "s",
            ("fiapx:request_seconds:p50_rate5m", "half"), ("fiapx:request_seconds:p99_rate5m", "99%"), limit=1,
        ),
        panel("Answers with 5xx", "percentunit", ("fiapx:errors:ratio_rate5m", "of all"), limit=0.01),
        panel("Videos accepted, jobs watched", "short",
              ("sum(increase(fiapx_videos_accepted_total[5m]))", "accepted in 5 min"), ("sum(fiapx_watched_jobs)", "watched")),
    ],
    "Work": [
        panel("Attempts", "ops", (rate("fiapx_attempts_total", "outcome"), "{{outcome}}"), stacked=True),
        panel("Slots", "short", ("sum(fiapx_attempts_running)", "in use"), ("sum(fiapx_worker_slots)", "there are")),
        panel("From acceptance to first attempt", "s",
              (quantile(0.5, "fiapx_wait_seconds"), "half"), (quantile(0.99, "fiapx_wait_seconds"), "99%")),
        panel("Attempts that gave an archive", "s",
              (quantile(0.5, "fiapx_attempt_seconds"), "half"), (quantile(0.99, "fiapx_attempt_seconds"), "99%")),
        panel("Frames", "ops", (rate("fiapx_frames_total"), "frames/s")),
        panel("Where threads spend their time", "s",
              (rate("fiapx_decode_seconds_sum"), "decode"), (rate("fiapx_encode_seconds_sum"), "encode"), stacked=True),
        panel("Bytes", "Bps", (rate("fiapx_video_bytes_total"), "videos read"), (rate("fiapx_archive_bytes_total"), "archives written")),
        panel("Messages published", "ops", (rate("fiapx_messages_published_total"), "messages")),
    ],
    "What goes wrong": [
        panel("Failures by code, in 15 min", "short", ("code:fiapx_failures:increase15m", "{{code}}"), stacked=True),
        panel("Attempts that fail by our fault", "percentunit", ("fiapx:failures_of_ours:ratio_increase15m", "of all"), limit=0.1),
        panel("Leases lost, in 30 min", "short", ("sum(increase(fiapx_leases_lost_total[30m]))", "leases"), limit=5),
        panel("Mails, in 30 min", "short", ("sum by (outcome) (increase(fiapx_mails_total[30m]))", "{{outcome}}"), stacked=True),
        panel("Disk that is free", "percentunit", ("instance:fiapx_disk_free:ratio", "{{instance}}"), limit=0.1, above=False),
        panel("Processes", "short",
              ("count by (version, commit, libavcodec) (fiapx_build_info)", "{{version}} {{commit}}, libavcodec {{libavcodec}}")),
    ],
}


def steps(item):
    """Where a graph turns red."""
    if item["limit"] is None:
        return [{"color": "green", "value": None}]
    below, beyond = ("green", "red") if item["above"] else ("red", "green")
    return [{"color": below, "value": None}, {"color": beyond, "value": item["limit"]}]


def graph(item, number, x, y):
    return {
        "id": number,
        "type": "timeseries",
        "title": item["title"],
        "datasource": {"type": "prometheus", "uid": "prometheus"},
        "gridPos": {"x": x, "y": y, "w": 6, "h": 7},
        "targets": [
            {"refId": chr(ord("A") + place), "expr": query, "legendFormat": legend}
            for place, (query, legend) in enumerate(item["queries"])
        ],
        "fieldConfig": {
            "defaults": {
                "unit": item["unit"],
                "min": 0,
                "thresholds": {"mode": "absolute", "steps": steps(item)},
                "custom": {
                    "fillOpacity": 20 if item["stacked"] else 0,
                    "stacking": {"mode": "normal" if item["stacked"] else "none"},
                    "thresholdsStyle": {"mode": "off" if item["limit"] is None else "line"},
                },
            },
            "overrides": [],
        },
    }


def dashboard():
    panels, number, y = [], 0, 0
    for row, items in ROWS.items():
        number += 1
        panels.append({"id": number, "type": "row", "title": row, "collapsed": False, "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}})
        for place, item in enumerate(items):
            number += 1
            panels.append(graph(item, number, place % 4 * 6, y + 1 + place // 4 * 7))
        y += 1 + (len(items) + 3) // 4 * 7
    return {
        "uid": "fiapx-service",
        "title": "FIAP X: service",
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "panels": panels,
    }


def queries():
    return [query for items in ROWS.values() for item in items for query, _ in item["queries"]]


def check(promtool):
    """Fail if a query is no PromQL, names a figure that there is not, or a limit is not its alert's."""
    rules = [{"record": f"query:{place}", "expr": query.replace("$__rate_interval", "5m")} for place, query in enumerate(queries())]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        # JSON is YAML.
        json.dump({"groups": [{"name": "dashboards", "rules": rules}]}, file)
        file.flush()
        checked = subprocess.run([promtool, "check", "rules", file.name], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr

    figures = dict(re.findall(r'"(fiapx_\w+)",\s*(?:Kind::)?(\w+)', FIGURES.read_text()))
    for name, kind in list(figures.items()):
        if kind not in ("Counter", "Gauge"):
            figures |= {f"{name}_{part}": kind for part in ("bucket", "sum", "count")}
            del figures[name]
    recorded = set(re.findall(r"record: (\S+)", RECORDING.read_text()))
    alerts = ALERTS.read_text()
    for text in [*queries(), RECORDING.read_text(), alerts]:
        for name in set(re.findall(r"(?<![\w:])(?:\w+:)?fiapx(?:_\w+|:\w+)(?::\w+)*", text)):
            known = name in recorded if ":" in name else name in figures
            assert known, f"{name} is neither a figure of {FIGURES.name} nor recorded, in: {text[:200]}"
    for item in (item for items in ROWS.values() for item in items if item["limit"] is not None):
        query, sign = item["queries"][-1][0], "[>]=?" if item["above"] else "<"
        assert re.search(f"{re.escape(query)} {sign} {item['limit']}\\b", alerts), f"no alert begins at the limit of: {item['title']}"


def main():
    text = json.dumps(dashboard(), indent=2) + "\n"
    if sys.argv[1:2] == ["--check"] and len(sys.argv) == 3:
        check(sys.argv[2])
        assert FILE.read_text() == text, f"{FILE} is not what this makes: run docker/grafana/dashboards.py"
        print(f"{FILE.name}: {len(queries())} queries")
    elif len(sys.argv) == 1:
        FILE.write_text(text)
    else:
        sys.exit("usage: dashboards.py [--check PROMTOOL]")


main()
