"""Devargs that are wrong, as a user of a stock application sees it: one line with key, value and what is allowed."""

import re
import sys

import testpmd_process as testpmd
from testpmd_process import WIRES, Testpmd


def refusal(plugins, arguments, vdevs=WIRES):
    """The one line that says why there is no net_lagg0; testpmd goes on without."""
    with Testpmd(plugins, (*vdevs, f"--vdev=net_lagg0,{arguments}")) as pmd:
        pmd.prompt()
        summary = pmd.command("show port summary all")
        assert "net_lagg0" not in summary and "net_wire2" in summary, summary
        code, text = pmd.quit()
    assert code == 0, f"{arguments}: exit code {code}: {text}"
    lines = [line for line in text.splitlines() if "net_lagg0: " in line]
    assert len(lines) == 1, f"{arguments}: {lines} of {text}"
    return lines[0]


def an_unknown_key_is_named_with_those_that_exist(plugins):
    line = refusal(plugins, "member=net_wire0,polcy=failover")
    for words in ("polcy", "failover", "policy", "member", "hash", "weight"):
        assert words in line, line


def a_bad_value_is_named_with_what_is_allowed(plugins):
    for arguments, key, value, allowed in (
            ("policy=active", "policy", "active", ("failover", "loadbalance", "roundrobin")),
            ("hash=l2+l9", "hash", "l2\\+l9", ("l2", "l3", "l4")),
            ("stride=0", "stride", "0", ("1", "65535")),
            ("mac=ff:ff:ff:ff:ff:ff", "mac", "ff:ff:ff:ff:ff:ff", ("unicast",)),
            ("member=net_wire0,member=net_wire0", "member", "net_wire0", ("once",)),
            ("weight=net_wire0@256", "weight", "net_wire0@256", ("1", "255"))):
        line = refusal(plugins, arguments)
        assert re.search(rf"\b{key}={value}: .*allowed: ", line), line
        for words in allowed:
            assert words in line.split("allowed: ")[1], line


def a_member_of_two_laggs_is_refused(plugins):
    line = refusal(plugins, "member=net_wire0", (*WIRES, "--vdev=net_lagg1,member=net_wire0"))
    assert "member=net_wire0: " in line and "busy" in line, line


if __name__ == "__main__":
    sys.exit(testpmd.check_all([
        an_unknown_key_is_named_with_those_that_exist,
        a_bad_value_is_named_with_what_is_allowed,
        a_member_of_two_laggs_is_refused]))
