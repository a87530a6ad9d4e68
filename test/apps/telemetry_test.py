"""Telemetry of a stock application: /lagg/list, /lagg/info and /lagg/lacp over its socket, as dpdk-telemetry.py asks."""

import json
import socket
import sys

import testpmd_process as testpmd
from testpmd_process import LAGGS, WIRES, Testpmd, until


class Telemetry:
    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(testpmd.PATIENCE)
        self._socket.connect(path)
        self._longest = json.loads(self._socket.recv(16384))["max_output_len"]

    def ask(self, command):
        self._socket.send(command.encode())
        answer = json.loads(self._socket.recv(self._longest))
        return answer[command.split(",")[0]]

    def close(self):
        self._socket.close()


def it_lists_laggs_and_tells_their_state(plugins):
    with Testpmd(plugins, (*WIRES, *LAGGS, "--vdev=net_lagg2,member=net_wire77"), "--rxq=2",
                 "--txq=2", telemetry=True) as pmd:
        pmd.prompt()
        a, b, c = (pmd.port_of(f"net_lagg{i}") for i in range(3))
        until(lambda: pmd.link_is_up(a) and pmd.link_is_up(b), "both links are up")
        telemetry = Telemetry(pmd.telemetry_path)
        try:
            assert {"/lagg/list", "/lagg/info", "/lagg/lacp"} <= set(telemetry.ask("/"))
            assert sorted(telemetry.ask("/lagg/list")) == sorted([a, b, c])

            info = telemetry.ask(f"/lagg/info,{a}")
            wanted = {"policy": "loadbalance", "started": 1, "admin_up": 1, "link_up": 1,
                      "link_speed_mbps": 20000, "nb_members": 2, "hash": "l2+l3+l4"}
            assert {key: info[key] for key in wanted} == wanted, info
            assert info["fence"] in ("membarrier", "real"), info
            members = {info[f"member_{i}"]["name"]: info[f"member_{i}"] for i in range(2)}
            assert set(members) == {"net_wire0", "net_wire2"}, members
            for member in members.values():
                assert member["phase"] == "present" and member["distributing"] == 1, member
                assert member["speed_mbps"] == 10000, member
            assert sum(member["buckets"] for member in members.values()) == 256, members

            assert telemetry.ask(f"/lagg/info,{c}")["awaited"] == ["net_wire77"]
            for wrong in ("", ",", ",x", ",65536", ",0", ",31", f",{a}x"):
                assert not telemetry.ask("/lagg/info" + wrong), wrong

            # A change is seen without a poll of the application's.
            pmd.command("set link-down port 0")
            until(lambda: not members_of(telemetry, a)["net_wire0"]["distributing"], "it left")
            assert members_of(telemetry, a)["net_wire2"]["buckets"] == 256
            pmd.command(f"set link-down port {a}")
            until(lambda: telemetry.ask(f"/lagg/info,{a}")["admin_up"] == 0, "it is down")

            # It can be asked while the port stops, is closed, and is gone.
            pmd.command(f"port stop {a}")
            assert telemetry.ask(f"/lagg/info,{a}")["started"] == 0
            pmd.command(f"port close {a}")
            assert sorted(telemetry.ask("/lagg/list")) == sorted([b, c])
            assert not telemetry.ask(f"/lagg/info,{a}")
        finally:
            telemetry.close()
        code, text = pmd.quit()
        assert code == 0 and "Invalid port_id" not in text, text[-2000:]


# Two laggs at the two ends of two wires.
AGREED = {"activity", "timeout", "aggregation", "synchronization", "collecting", "distributing"}
COUNTERS = ("LACPDUsRx", "LACPDUsTx", "MarkerPDUsRx", "MarkerPDUsTx", "MarkerResponsePDUsRx",
            "MarkerResponsePDUsTx", "UnknownRx", "IllegalRx", "ActorChurnCount",
            "PartnerChurnCount", "ActorSyncTransitionCount", "PartnerSyncTransitionCount",
            "ActorChangeCount", "PartnerChangeCount", "flaps", "rate_limited_rx")


def it_tells_both_ends_machines_and_counters_of_lacp(plugins):
    laggs = [f"--vdev=net_lagg{end},policy=lacp,lacp_wait_while=100,lacp_key={7 + end},"
             f"member=net_wire{end},member=net_wire{end + 2}" for end in range(2)]
    with Testpmd(plugins, (*WIRES, *laggs), telemetry=True) as pmd:
        pmd.prompt()
        a, b = (pmd.port_of(f"net_lagg{i}") for i in range(2))
        telemetry = Telemetry(pmd.telemetry_path)
        try:
            agree = lambda port: all(
                set(one["actor_state"].split()) == AGREED == set(one["partner_state"].split())
                for one in lacp_of(telemetry, port).values())
            until(lambda: len(lacp_of(telemetry, a)) == 2 and agree(a) and agree(b), "they agree")
            near, far = lacp_of(telemetry, a), lacp_of(telemetry, b)
            assert telemetry.ask(f"/lagg/lacp,{a}")["policy"] == "lacp"
            for here, there in (("net_wire0", "net_wire1"), ("net_wire2", "net_wire3")):
                one, other = near[here], far[there]
                for field in ("system", "system_priority", "key", "port", "port_priority"):
                    assert one["actor_" + field] == other["partner_" + field], (field, one, other)
                    assert one["partner_" + field] == other["actor_" + field], (field, one, other)
                assert (one["actor_key"], one["partner_key"]) == (7, 8), one
                assert (one["receive"], one["mux"]) == ("current", "distributing"), one
                assert one["selection"] == "selected" and one["in_use"] == 1, one
                for flag in ("individual", "fallback", "looped", "suppressed", "draining"):
                    assert one[flag] == 0, one
                assert all(isinstance(one[name], int) for name in COUNTERS), one
                assert one["LACPDUsRx"] > 0 and one["LACPDUsTx"] > 0 and one["IllegalRx"] == 0, one
            assert len({one["actor_port"] for one in near.values()}) == 2, near

            alone = telemetry.ask(f"/lagg/lacp,{a},{near['net_wire2']['port']}")
            assert [alone[key]["name"] for key in alone if key.startswith("member_")] == [
                "net_wire2"], alone
            for wrong in ("", ",", ",x", ",65536", ",0", ",31", f",{a}x", f",{a},", f",{a},x",
                          f",{a},1,2"):
                assert not telemetry.ask("/lagg/lacp" + wrong), wrong
            pmd.command(f"port stop {a}")
            until(lambda: not lacp_of(telemetry, a), "LACP ended")
            assert telemetry.ask(f"/lagg/lacp,{a}")["nb_ports"] == 0
        finally:
            telemetry.close()
        code, text = pmd.quit()
        assert code == 0, text[-2000:]


def lacp_of(telemetry, port):
    answer = telemetry.ask(f"/lagg/lacp,{port}")
    return {answer[key]["name"]: answer[key] for key in answer if key.startswith("member_")}


def members_of(telemetry, port):
    info = telemetry.ask(f"/lagg/info,{port}")
    return {info[f"member_{i}"]["name"]: info[f"member_{i}"] for i in range(info["nb_members"])}


if __name__ == "__main__":
    sys.exit(testpmd.check_all([
        it_lists_laggs_and_tells_their_state,
        it_tells_both_ends_machines_and_counters_of_lacp,
    ]))
