#!/usr/bin/python3
"""Tests of the benchmark itself. With V2C and TOOLS set they also take a short sample of three scenarios."""
import os
import unittest

import page
import report
import scenarios
import speed
import world
from subjects import all_subjects
from system import NotMeasured, Stage, find_program, free_port, raise_descriptor_limit

V2C, TOOLS = os.environ.get("V2C", ""), os.environ.get("TOOLS", "")


def sample(round_number, subject, scenario="download-1", **metrics):
    return {"round": round_number, "subject": subject, "scenario": scenario, "metrics": metrics, "others": 0.0}


class Statistics(unittest.TestCase):
    def test_a_ratio_above_one_is_better_whichever_way_the_metric_goes(self):
        self.assertEqual(report.goodness("mb_s", 20, 10), 2)
        self.assertEqual(report.goodness("cpu_s_gb", 1, 2), 2)

    def test_what_a_link_keeps_is_of_its_own_programs_plain_one(self):
        samples = [
            sample(0, "v2c", "travel-1", mb_s=100, cpu_s_gb=1),
            sample(0, "v2c-tls", "travel-1", mb_s=80, cpu_s_gb=2),
            sample(0, "v2c-ws", "travel-1", mb_s=76, cpu_s_gb=1.25),
            sample(0, "v2ray-tls", "travel-1", mb_s=40, cpu_s_gb=3),
        ]
        rows = list(report.travel_rows({"samples": samples}, "travel-1", "mb_s"))
        self.assertEqual([row[1] for row in rows], ["v2c-tls", "v2c-ws"])
        self.assertEqual(rows[0][-3:], ["0.80", "0.85", "**no**"])
        self.assertEqual(rows[1][-3:], ["0.76", "0.75", "yes"])

    def test_a_ratio_to_nothing_or_of_what_has_no_direction_is_not_known(self):
        self.assertIsNone(report.goodness("mb_s", 20, 0))
        self.assertIsNone(report.goodness("asked", 20, 10))

    def test_only_samples_of_the_same_round_are_compared(self):
        self.assertEqual(report.ratio("mb_s", {0: 10, 1: 30, 2: 8}, {0: 10, 1: 10, 3: 1}), 2)
        self.assertIsNone(report.ratio("mb_s", {0: 10}, {1: 10}))

    def test_a_summary_holds_median_and_range(self):
        summary = report.summarise([sample(r, "v2c", mb_s=v) for r, v in enumerate((5, 1, 3))])
        self.assertEqual(
            summary["download-1"]["v2c"]["mb_s"], {"median": 3, "low": 1, "high": 5, "count": 3}
        )

    def test_what_was_not_measured_leaves_no_entry(self):
        self.assertEqual(report.summarise([sample(0, "v2c", mb_s=None)]), {})


class Goals(unittest.TestCase):
    def row(self, samples, scenario, metric):
        return next(r for r in report.judge(samples) if (r["scenario"], r["metric"]) == (scenario, metric))

    def test_a_share_of_the_yardstick_is_enough_from_the_share_on(self):
        for ours, reached in ((90, True), (88, False)):
            samples = [sample(0, "v2c", mb_s=ours), sample(0, "limit-mux", mb_s=100)]
            self.assertIs(self.row(samples, "download-1", "mb_s")["reached"], reached)

    def test_a_bound_holds_downwards_where_less_is_better_and_upwards_where_more_is(self):
        for metrics, reached in (({"back_ms": 150}, True), ({"back_ms": 151}, False)):
            found = self.row([sample(0, "v2c", "restart-portal", **metrics)], "restart-portal", "back_ms")
            self.assertIs(found["reached"], reached)
        found = self.row([sample(0, "v2c", "stalled-1", kept_pct=96)], "stalled-1", "kept_pct")
        self.assertIs(found["reached"], False)

    def test_without_a_figure_nothing_counts_as_reached(self):
        self.assertTrue(all(row["reached"] is None for row in report.judge([])))

    def test_every_goal_names_a_scenario_and_a_metric_that_there_are(self):
        for scenario, metric, _ in scenarios.GOALS:
            self.assertIn(scenario, scenarios.SCENARIOS)
            self.assertIn(metric, scenarios.METRICS)

    def test_the_report_says_what_was_not_reached_and_what_was_not_measured(self):
        document = {
            "samples": [sample(0, "v2c", mb_s=50), sample(0, "limit-mux", mb_s=100)],
            "machine": {"CPU": "x"}, "version": "v2c 1", "date": "2026-01-01", "rounds": 1, "seconds": 1,
            "took": 60, "command": "make bench", "scenarios": ["download-1"], "missing": ["idle, v2ray: gone"],
        }  # fmt: skip
        text = report.markdown(document, full=True)
        self.assertIn("| Download, 1 stream: MB/s | – | – | – | 100 | **50** | – | 0.9 × limit-mux (×0.50) | **no** |", text)
        self.assertIn("- idle, v2ray: gone", text)


    def test_a_new_run_takes_the_place_of_the_last_one_and_of_nothing_else(self):
        for begin, end in ((report.BEGIN, report.END), ("<!-- one -->", None)):
            last = end or begin
            once = page.put(f"before\n{begin}\nold\n{last}\nbehind\n", "new\n", begin, end)
            self.assertEqual(once, f"before\n{begin}\n\nnew\n\n{last}\nbehind\n")
            self.assertEqual(page.put(once, "new\n", begin, end), once)
            self.assertRaises(ValueError, page.put, f"no end: {begin}", "new", begin, end)


class Parsers(unittest.TestCase):
    WRK = """Running 1s test @ http://127.0.0.1:1/
  Latency Distribution
     50%  210.00us
     75%    1.10ms
     90%    1.23ms
     99%    1.04s
  12000 requests in 1.10s, 14.54MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 5
Requests/sec:  10909.09
"""

    def test_wrk_is_understood_in_all_its_units(self):
        got = world.parse_wrk(self.WRK)
        self.assertEqual((got["requests"], got["seconds"], got["errors"]), (12000, 1.1, 15))
        self.assertAlmostEqual(got["p50_ms"], 0.21)
        self.assertAlmostEqual(got["p99_ms"], 1040)

    def test_wrk_that_failed_is_no_figure(self):
        self.assertRaises(NotMeasured, world.parse_wrk, "unable to connect")

    def test_the_busiest_thread_of_two_equal_ones_has_half(self):
        self.assertEqual(speed.busiest_share({"1": 1.0, "2": 1.0}, {"1": 2.0, "2": 2.0}), 0.5)
        self.assertEqual(speed.busiest_share({}, {"1": 0.0}), 1.0)

    def test_a_port_is_given_once(self):
        ports = [free_port() for _ in range(50)]
        self.assertEqual(len(set(ports)), 50)


@unittest.skipUnless(V2C and TOOLS, "V2C and TOOLS are not set")
class Samples(unittest.TestCase):
    """A tunnel carries something in each; the figures of so short a time say nothing."""

    def setUp(self):
        for program in ("nginx",):
            try:
                find_program(program)
            except NotMeasured as error:
                self.skipTest(str(error))
        raise_descriptor_limit()

    def take(self, scenario, subject):
        with Stage(TOOLS) as around, Stage(TOOLS, around) as stage:
            w = world.World(around, 0.2)
            return scenarios.SCENARIOS[scenario].measure(w, stage, all_subjects(V2C, [])[subject])

    def test_a_download_through_v2c(self):
        metrics = self.take("download-1", "v2c")
        self.assertGreater(metrics["mb_s"], 0)
        self.assertEqual(metrics["errors"], 0)

    def test_an_upload_through_the_yardstick(self):
        self.assertGreater(self.take("upload-1", "limit-mux")["mb_s"], 0)

    def test_small_requests_beside_bulk_through_v2c(self):
        metrics = self.take("latency-paced", "v2c")
        self.assertGreater(metrics["p99_ms"], 0)
        self.assertEqual(metrics["errors"], 0)


if __name__ == "__main__":
    unittest.main()
