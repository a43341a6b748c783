"""From samples to medians, ratios and Markdown. No I/O: everything here is a function of the results."""
from statistics import median

from scenarios import ENTRY, ENTRY_GOALS, GOALS, METRICS, SCENARIOS, TRAVEL, TRAVEL_GOALS

NOISY = 0.10
ORDER = ["v2ray", "haproxy", "direct", "limit-mux"]  # the columns before v2c
ENTRY_SUBJECTS = ["nginx", "haproxy-http", "v2c", "v2c-entry"]
MINUS = "–"
BEGIN, END = "<!-- last run -->", "<!-- end of the last run -->"


def collect(samples):
    """{(scenario, subject, metric): {round: value}}"""
    found = {}
    for sample in samples:
        for metric, value in sample["metrics"].items():
            if value is not None:
                key = sample["scenario"], sample["subject"], metric
                found.setdefault(key, {})[sample["round"]] = value
    return found


def goodness(metric, value, base):
    """How many times as good as `base`; None when that cannot be said."""
    if METRICS[metric].better == "low":
        value, base = base, value
    return value / base if METRICS[metric].better and base > 0 else None


def ratio(metric, ours, base):
    """The median of the ratios of the same round: both saw the same machine. {round: value} each."""
    found = [goodness(metric, ours[r], base[r]) for r in ours if r in base]
    found = [value for value in found if value is not None]
    return median(found) if found else None


def summarise(samples):
    """{scenario: {subject: {metric: {median, low, high, count}}}}"""
    summary = {}
    for (scenario, subject, metric), by_round in collect(samples).items():
        values = list(by_round.values())
        entry = {"median": median(values), "low": min(values), "high": max(values), "count": len(values)}
        summary.setdefault(scenario, {}).setdefault(subject, {})[metric] = entry
    return summary


def ratios(samples, base):
    """{scenario: {subject: {metric: how many times as good as `base`}}}"""
    found = collect(samples)
    result = {}
    for (scenario, subject, metric), ours in found.items():
        other = found.get((scenario, base, metric))
        if subject != base and other:
            result.setdefault(scenario, {}).setdefault(subject, {})[metric] = ratio(metric, ours, other)
    return result


def judge(samples, subject="v2c"):
    """One dict for each goal that was measured or should have been:
    scenario, metric, goal, value, ratio (to the goal's subject), reached (None: not known)."""
    found = collect(samples)
    rows = []
    for scenario, metric, goal in GOALS:
        ours = found.get((scenario, subject, metric))
        base = found.get((scenario, goal.subject, metric))
        value = median(ours.values()) if ours else None
        gain = ratio(metric, ours, base) if ours and base else None
        rows.append(
            {"scenario": scenario, "metric": metric, "goal": goal.text, "value": value, "ratio": gain,
             "reached": is_reached(metric, goal, value, gain)}
        )  # fmt: skip
    return rows


def is_reached(metric, goal, value, gain):
    """None: nobody knows, or there is nothing to reach."""
    if goal.subject:
        return None if gain is None else round(gain, 2) >= round(goal.factor, 2)
    if value is None or not goal.text:
        return None
    return value <= goal.value if METRICS[metric].better == "low" else value >= goal.value


# ----------------------------------------------------------------------------------------- Markdown


def number(metric, value):
    return MINUS if value is None else f"{value:,.{METRICS[metric].digits}f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def times(value):
    return "" if value is None else f" (×{value:.2f})"


def word(reached):
    return {True: "yes", False: "**no**", None: MINUS}[reached]


def goals_table(document):
    """Each goal: what the others reach, what v2c does, and whether that is enough."""
    summary, verdicts = summarise(document["samples"]), judge(document["samples"])
    to_v2ray = ratios(document["samples"], "v2ray")
    rows = []
    for v in verdicts:
        scenario, metric = v["scenario"], v["metric"]
        if scenario not in document["scenarios"]:
            continue
        cells = []
        for name in ORDER:
            entry = summary.get(scenario, {}).get(name, {}).get(metric)
            cells.append(number(metric, entry and entry["median"]))
        gain = to_v2ray.get(scenario, {}).get("v2c", {}).get(metric)
        goal = "" if not v["goal"] else v["goal"] + times(v["ratio"])
        rows.append(
            [f"{SCENARIOS[scenario].title}: {METRICS[metric].label}", *cells, f"**{number(metric, v['value'])}**",
             MINUS if gain is None else f"{gain:.2f}", goal, word(v["reached"]) if v["goal"] else ""]
        )  # fmt: skip
    head = ["what", *ORDER, "v2c", "× v2ray", "goal (v2c × that)", "reached"]
    return table(head, rows)


def travel_rows(document, scenario, metric):
    """Of each program whose link travels somehow: its figure, and what it keeps of its own plain link's."""
    summary = summarise(document["samples"]).get(scenario, {})
    for subject in summary:
        plain, _, way = subject.partition("-")
        if not way or plain not in summary or metric not in summary[subject]:
            continue
        kept = ratios(document["samples"], plain).get(scenario, {}).get(subject, {}).get(metric)
        goal = TRAVEL_GOALS.get(subject)
        reached = None if goal is None or kept is None else round(kept, 2) >= goal
        yield [
            f"{SCENARIOS[scenario].title}: {METRICS[metric].label}", subject,
            number(metric, summary[plain][metric]["median"]), number(metric, summary[subject][metric]["median"]),
            MINUS if kept is None else f"{kept:.2f}", f"{goal:g}" if goal else "", word(reached) if goal else "",
        ]  # fmt: skip


def travel_table(document):
    """What links keep by tls, by WebSocket, by both, and by tls with VMess's own encryption off."""
    head = ["what", "link", "plain", "so", "kept", "goal", "reached"]
    rows = [
        row
        for scenario in TRAVEL
        for metric in ("mb_s", "cpu_s_gb", "req_s", "cpu_us_req")
        for row in travel_rows(document, scenario, metric)
    ]
    return table(head, rows) if rows else ""


def entry_row(document, scenario, metric):
    summary = summarise(document["samples"]).get(scenario, {})
    found = {name: entries[metric]["median"] for name, entries in summary.items() if metric in entries}
    if "v2c-entry" not in found:
        return None
    kept = ratios(document["samples"], "v2c").get(scenario, {}).get("v2c-entry", {}).get(metric)
    goal = ENTRY_GOALS.get((scenario, metric))
    cells = [number(metric, found[name]) if name in found else MINUS for name in ENTRY_SUBJECTS]
    return [
        f"{SCENARIOS[scenario].title}: {METRICS[metric].label}", *cells,
        MINUS if kept is None else f"{kept:.2f}", f"{goal:g}" if goal else "",
        word(round(kept, 2) >= goal) if goal and kept is not None else "",
    ]  # fmt: skip


def entry_table(document):
    """What routing each request keeps of the raw tunnel; nginx and HAProxy are one hop to the origin, no tunnel."""
    rows = [
        row
        for scenario in ENTRY
        for metric in ("req_s", "cpu_us_req", "mb_s", "cpu_s_gb")
        if (row := entry_row(document, scenario, metric))
    ]
    return table(["what", *ENTRY_SUBJECTS, "kept", "goal", "reached"], rows) if rows else ""


def cell(metric, entry, gain):
    text = number(metric, entry["median"])
    if entry["count"] > 1:
        text += f" [{number(metric, entry['low'])} to {number(metric, entry['high'])}]"
    return text + times(gain)


def scenario_table(document, scenario, summary, gains):
    by_subject = summary[scenario]
    metrics = [m for m in METRICS if any(m in entries for entries in by_subject.values())]
    rows = []
    for subject, entries in by_subject.items():
        gain = gains.get(scenario, {}).get(subject, {})
        cells = [cell(m, entries[m], gain.get(m)) if m in entries else MINUS for m in metrics]
        rows.append([subject, *cells])
    return f"### {SCENARIOS[scenario].title} (`{scenario}`)\n\n" + table(
        ["", *(METRICS[m].label for m in metrics)], rows
    )


def markdown(document, full=False):
    """The report. `full`: with ranges of every figure of every subject."""
    samples = document["samples"]
    noisy = [s for s in samples if s["others"] > NOISY]
    machine = "; ".join(f"{name}: {value}" for name, value in document["machine"].items())
    parts = [
        f"{machine}.\n",
        f"{document['version']}, {document['date']}; up to {document['rounds']} interleaved rounds, windows of "
        f"{document['seconds']:g} s, {document['took'] / 60:.0f} min: `{document['command']}`. Medians; ratios are "
        "medians of same-round ratios, above 1 is better.\n",
        f"{len(noisy)} of {len(samples)} samples saw others use more than {NOISY:.0%} of the machine"
        + (f" (at most {max(s['others'] for s in noisy):.0%})" if noisy else "")
        + ".\n",
        goals_table(document),
        travel_table(document),
        entry_table(document),
    ]
    if full:
        summary, gains = summarise(samples), ratios(samples, "v2ray")
        parts += [scenario_table(document, name, summary, gains) for name in summary]
    if document["missing"]:
        parts.append("Not measured:\n")
        parts.append("\n".join(f"- {line}" for line in document["missing"]) + "\n")
    return "\n".join(parts)
