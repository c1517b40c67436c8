#!/usr/bin/env python3
"""Generate the dashboards of Grafana.

usage: dashboards.py                    write the dashboards
       dashboards.py --check PROMTOOL   check that they are up to date, and their queries
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
METRICS = HERE.parents[1] / "crates/app/src/metrics.rs"


def panel(title, unit, *queries, limit=None, above=True, stacked=False):
    """Return a graph. A query is PromQL and a legend. `limit` is the threshold of an alert."""
    return {
        "title": title,
        "unit": unit,
        "queries": queries,
        "limit": limit,
        "above": above,
        "stacked": stacked,
    }


def rate(metric, by=""):
    """Return a query for the rate of a counter per second."""
    return f"sum{f' by ({by})' if by else ''} (rate({metric}[$__rate_interval]))"


def quantile(share, metric):
    """Return a query for a quantile of a histogram."""
    return f"histogram_quantile({share}, sum by (le) (rate({metric}_bucket[$__rate_interval])))"


# Rows of panels. Units are Grafana's: s, reqps, ops, Bps, bytes, percentunit, short.
ROWS = {
    "Waiting": [
        panel(
            "Oldest waiting job", "s", ("fiapx:oldest_waiting_job_seconds:max", "oldest"), limit=600
        ),
        panel(
            "Unfinished jobs",
            "short",
            ('state:fiapx_jobs:max{state=~"UPLOADED|QUEUED|PROCESSING"}', "{{state}}"),
            stacked=True,
        ),
        panel("Messages in queues", "short", ("queue:fiapx_queue_messages:max", "{{queue}}")),
        panel("Age of the outbox", "s", ("fiapx:outbox_age_seconds:max", "oldest"), limit=60),
    ],
    "Requests": [
        panel(
            "Requests", "reqps", (rate("fiapx_requests_total", "route"), "{{route}}"), stacked=True
        ),
        panel(
            "Latency, without uploads and event streams",
            "s",
            ("fiapx:request_seconds:p50_rate5m", "p50"),
            ("fiapx:request_seconds:p99_rate5m", "p99"),
            limit=1,
        ),
        panel(
            "Responses with 5xx", "percentunit", ("fiapx:errors:ratio_rate5m", "share"), limit=0.01
        ),
        panel(
            "Videos accepted, jobs watched",
            "short",
            ("sum(increase(fiapx_videos_accepted_total[5m]))", "accepted in 5 min"),
            ("sum(fiapx_watched_jobs)", "watched"),
        ),
    ],
    "Processing": [
        panel(
            "Attempts",
            "ops",
            (rate("fiapx_attempts_total", "outcome"), "{{outcome}}"),
            stacked=True,
        ),
        panel(
            "Slots",
            "short",
            ("sum(fiapx_attempts_running)", "in use"),
            ("sum(fiapx_worker_slots)", "total"),
        ),
        panel(
            "Time from acceptance to first attempt",
            "s",
            (quantile(0.5, "fiapx_wait_seconds"), "p50"),
            (quantile(0.99, "fiapx_wait_seconds"), "p99"),
        ),
        panel(
            "Duration of successful attempts",
            "s",
            (quantile(0.5, "fiapx_attempt_seconds"), "p50"),
            (quantile(0.99, "fiapx_attempt_seconds"), "p99"),
        ),
        panel("Frames", "ops", (rate("fiapx_frames_total"), "frames/s")),
        panel(
            "Thread time",
            "s",
            (rate("fiapx_decode_seconds_sum"), "decode"),
            (rate("fiapx_encode_seconds_sum"), "encode"),
            stacked=True,
        ),
        panel(
            "Bytes",
            "Bps",
            (rate("fiapx_video_bytes_total"), "videos read"),
            (rate("fiapx_archive_bytes_total"), "archives written"),
        ),
        panel("Messages published", "ops", (rate("fiapx_messages_published_total"), "messages")),
    ],
    "Problems": [
        panel(
            "Failures by code, in 15 min",
            "short",
            ("code:fiapx_failures:increase15m", "{{code}}"),
            stacked=True,
        ),
        panel(
            "Attempts that fail for internal reasons",
            "percentunit",
            ("fiapx:internal_failures:ratio_increase15m", "share"),
            limit=0.1,
        ),
        panel(
            "Leases lost, in 30 min",
            "short",
            ("sum(increase(fiapx_leases_lost_total[30m]))", "leases"),
            limit=5,
        ),
        panel(
            "Mails, in 30 min",
            "short",
            ("sum by (outcome) (increase(fiapx_mails_total[30m]))", "{{outcome}}"),
            stacked=True,
        ),
        panel(
            "Free disk space",
            "percentunit",
            ("instance:fiapx_disk_free:ratio", "{{instance}}"),
            limit=0.1,
            above=False,
        ),
        panel(
            "Processes",
            "short",
            (
                "count by (version, commit, libavcodec) (fiapx_build_info)",
                "{{version}} {{commit}}, libavcodec {{libavcodec}}",
            ),
        ),
    ],
}


def steps(item):
    """Return the thresholds of a graph."""
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
        panels.append(
            {
                "id": number,
                "type": "row",
                "title": row,
                "collapsed": False,
                "gridPos": {"x": 0, "y": y, "w": 24, "h": 1},
            }
        )
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
    """Fail if a query is invalid, a metric is unknown, or a limit differs from that of its alert."""
    rules = [
        {"record": f"query:{place}", "expr": query.replace("$__rate_interval", "5m")}
        for place, query in enumerate(queries())
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        # JSON is a subset of YAML.
        json.dump({"groups": [{"name": "dashboards", "rules": rules}]}, file)
        file.flush()
        checked = subprocess.run(
            [promtool, "check", "rules", file.name], capture_output=True, text=True
        )
    assert checked.returncode == 0, checked.stdout + checked.stderr

    metrics = dict(re.findall(r'"(fiapx_\w+)",\s*(?:MetricKind::)?(\w+)', METRICS.read_text()))
    for name, kind in list(metrics.items()):
        if kind not in ("Counter", "Gauge"):
            metrics |= {f"{name}_{part}": kind for part in ("bucket", "sum", "count")}
            del metrics[name]
    recorded = set(re.findall(r"record: (\S+)", RECORDING.read_text()))
    alerts = ALERTS.read_text()
    for text in [*queries(), RECORDING.read_text(), alerts]:
        for name in set(re.findall(r"(?<![\w:])(?:\w+:)?fiapx(?:_\w+|:\w+)(?::\w+)*", text)):
            known = name in recorded if ":" in name else name in metrics
            assert known, f"{name} is neither in {METRICS.name} nor recorded, in: {text[:200]}"
    for item in (item for items in ROWS.values() for item in items if item["limit"] is not None):
        query, sign = item["queries"][-1][0], "[>]=?" if item["above"] else "<"
        assert re.search(
            f"{re.escape(query)} {sign} {item['limit']}\\b", alerts
        ), f"no alert has the limit of: {item['title']}"


def main():
    text = json.dumps(dashboard(), indent=2) + "\n"
    if sys.argv[1:2] == ["--check"] and len(sys.argv) == 3:
        check(sys.argv[2])
        assert FILE.read_text() == text, f"{FILE} is out of date: run docker/grafana/dashboards.py"
        print(f"{FILE.name}: {len(queries())} queries")
    elif len(sys.argv) == 1:
        FILE.write_text(text)
    else:
        sys.exit("usage: dashboards.py [--check PROMTOOL]")


main()
