#!/usr/bin/env python3
"""What report.py makes of the processes of a run."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent


def process(cases):
    """What a bench prints: {name of a case: its overhead}."""
    return {'context': {'load_avg': [0.5], 'mhz_per_cpu': 2000}, 'benchmarks': [
        {'run_name': name, 'aggregate_name': kind, 'repetitions': 9,
         'overhead_cycles': overhead if kind == 'median' else 0.02}
        for name, overhead in cases.items() for kind in ('median', 'cv')]}


def tx(pmd, overhead, policy='broadcast', hashed='none'):
    return {f'tx/{pmd}/{policy}/{hashed}/members:4/burst:32/warm': overhead}


def both(lagg, bond):
    return process({**tx('net_lagg', lagg), **tx('net_bonding', bond)})


class Report(unittest.TestCase):
    def report(self, first, further=()):
        """(the report's text, the JSON's content, what was printed)"""
        with tempfile.TemporaryDirectory() as folder:
            files = []
            for number, one in enumerate([first, *further]):
                files.append(pathlib.Path(folder) / f'{number}.json')
                files[-1].write_text(json.dumps(one))
            done = subprocess.run(
                [sys.executable, HERE / 'report.py', '--name', 'n', '--out', folder, files[0],
                 '--table', *files[1:]], capture_output=True, text=True, check=True)
            out = pathlib.Path(folder) / 'n.json'
            return (out.with_suffix('.md').read_text(), json.loads(out.read_text()), done.stdout)

    def row(self, text, begin):
        found = [line for line in text.splitlines() if line.startswith(begin)]
        self.assertTrue(found, f'no row "{begin}" in:\n{text}')
        return [cell.strip() for cell in found[0].strip('|').split('|')]

    def test_the_ratio_is_the_median_of_all_processes_with_the_least_and_the_greatest(self):
        text, _, printed = self.report(both(2.0, 2.0), [both(1.0, 3.0), both(1.0, 2.0)])
        row = ['broadcast', 'none', 'warm', '2.00', '1.00', '**2.00**', '1.00 to 3.00', '1.5']
        self.assertEqual(row, self.row(text, '| broadcast | none | warm'))
        self.assertEqual(row, self.row(printed, '| broadcast | none | warm'))
        self.assertIn('the medians of 3 processes', text)

    def test_a_ratio_is_of_one_process_never_of_two(self):
        # medians of either PMD by themselves would give 2
        text, _, _ = self.report(both(1.0, 1.0), [both(2.0, 2.0), both(4.0, 4.0)])
        self.assertEqual('**1.00**', self.row(text, '| broadcast | none | warm')[5])

    def test_a_process_that_lacks_a_case_says_nothing_of_it(self):
        without = process(tx('net_lagg', 9.0))
        text, _, _ = self.report(both(1.0, 2.0), [without])
        self.assertEqual('2.00 to 2.00', self.row(text, '| broadcast | none | warm')[6])

    def test_one_process_is_enough(self):
        text, data, _ = self.report(both(1.0, 2.0))
        self.assertEqual('**2.00**', self.row(text, '| broadcast | none | warm')[5])
        self.assertEqual([], data['overhead_cycles_of_further_processes'])

    def test_the_json_has_what_each_further_process_measured(self):
        _, data, _ = self.report(both(1.0, 2.0), [both(3.0, 4.0)])
        self.assertEqual([{**tx('net_lagg', 3.0), **tx('net_bonding', 4.0)}],
                         data['overhead_cycles_of_further_processes'])
        self.assertEqual(1.0, data['cases'][next(iter(tx('net_lagg', 0)))]['overhead_cycles'])

    def test_what_failover_costs_a_burst_is_the_median_of_all_processes(self):
        def failover(lagg):
            return process({**tx('net_lagg', lagg, 'failover'),
                            **tx('net_bonding', 0.5, 'failover')})
        text, _, _ = self.report(failover(0.75), [failover(1.0), failover(0.5)])
        self.assertEqual('**8.00**', self.row(text, '| failover, warm')[1])

    def test_benches_without_transmit_make_a_report_without_ratios(self):
        text, _, _ = self.report(process({'pin/net_lagg': 3.0}))
        self.assertNotIn('Ratios', text)
        self.assertIn('| pin/net_lagg |', text)


if __name__ == '__main__':
    unittest.main(verbosity=2)
