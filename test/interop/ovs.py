"""Open vSwitch's userspace datapath as a partner: a database and a switch of the test's own, in its
folder and its name space.  Its view of a member is in the form that lagg_process.py describes."""

import os
import re

from lab import end, text_of, tool, until
from lagg_process import WORKING, make_end

PROGRAMS = ("ovsdb-tool", "ovsdb-server", "ovs-vsctl", "ovs-vswitchd", "ovs-appctl")
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


def working(view, other):
    """One member, as laggd and as the switch see it."""
    return (view is not None and WORKING <= view["actor"]["state"] and
            WORKING <= view["partner"]["state"] and other["may_enable"] and
            other["status"].startswith("current"))


class OpenVSwitch:
    """`program`: the switch itself; `settings`: of its database, before it starts; `environment`: what
    it is to have besides."""

    def __init__(self, lab, space, program="ovs-vswitchd", settings=(), environment=None):
        self.lab, self.space, self.program = lab, space, program
        self._basis = 0
        self.folder = os.path.join(lab.folder, "ovs-" + space)
        os.mkdir(self.folder)
        self._environment = {f"OVS_{name}DIR": self.folder for name in ("RUN", "LOG", "DB")}
        database = os.path.join(self.folder, "conf.db")
        self._socket = os.path.join(self.folder, "db.sock")
        self._control = os.path.join(self.folder, "switch.ctl")
        tool("ovsdb-tool", "create", database, SCHEMA)
        lab.start(space, ["ovsdb-server", database, f"--remote=punix:{self._socket}",
                          f"--unixctl={self.folder}/db.ctl", "-vconsole:warn"], "ovsdb",
                  environment=self._environment)
        until(lambda: os.path.exists(self._socket), "Open vSwitch's database", 20)
        self.configure("init")
        if settings:
            self.configure("set", "Open_vSwitch", ".", *settings)
        self._environment.update(environment or {})
        self._start_switch()

    def deal_flows_anew(self, bond):
        """A balance-tcp bond gives all of its 256 buckets to the members that are enabled when the first
        frame wants to leave, and without rebalancing they stay there: all with one member, if that
        one was enabled a moment earlier.  Another basis of the hash empties them."""
        self._basis += 1
        self.configure("set", "port", bond, f"other_config:bond-hash-basis={self._basis}")
        until(lambda: f"bond-hash-basis: {self._basis}\n" in self.ask("bond/show", bond),
              f"{bond} hashes otherwise", 10)

    def _start_switch(self):
        self.switch = self.lab.start(
            self.space, [self.program, f"unix:{self._socket}", f"--unixctl={self._control}",
                         "-vconsole:info"], "switch", environment=self._environment)
        until(lambda: self._alive() and os.path.exists(self._control) and
              self.ask("version", check=False).startswith("ovs-vswitchd"), "Open vSwitch", 20)

    def _alive(self):
        assert self.switch.poll() is None, f"Open vSwitch ended: {text_of(self.switch)[-2000:]}"
        return True

    def configure(self, *words):
        return tool("ovs-vsctl", f"--db=unix:{self._socket}", "--no-wait", *words)

    def ask(self, *words, check=True):
        return tool("ovs-appctl", "-t", self._control, *words, check=check)

    def add_bridge(self, bridge):
        self.configure("add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev")
        until(lambda: bridge in self.lab.ip(self.space, "link"), f"interface {bridge}", 20)
        self.lab.ip(self.space, "link", "set", bridge, "up")

    def add_bond(self, bridge, bond, interfaces, lacp="active", time="fast", mode="balance-tcp",
                 **more):
        self.configure("add-bond", bridge, bond, *interfaces, f"lacp={lacp}", f"bond_mode={mode}",
                       f"other_config:lacp-time={time}",
                       "other_config:bond-rebalance-interval=0",  # flows stay where they are
                       *(f"other_config:{key.replace('_', '-')}={value}"
                         for key, value in more.items()))

    def add_port(self, bridge, interface, key):
        """A port that is no bond and speaks LACP; lacp() knows it by the interface's name."""
        self.configure("add-port", bridge, interface, "--", "set", "port", interface, "lacp=active",
                       "other_config:lacp-time=fast", f"other_config:lacp-aggregation-key={key}",
                       "--", "set", "interface", interface,
                       f"other_config:lacp-aggregation-key={key}")

    def remove_bond(self, bond):
        self.configure("del-port", bond)
        until(lambda: not self.ask("lacp/show", bond, check=False).startswith("----"),
              f"{bond} is gone", 10)

    def restart(self, how):
        """The switch ends as the signal tells, and a new one begins with the same database."""
        end(self.switch, how)
        if os.path.exists(self._control):
            os.unlink(self._control)
        self._start_switch()

    def lacp(self, bond):
        """{} while there is no such bond; else its fields, and by interface its members."""
        text = self.ask("lacp/show", bond, check=False)
        if not text.startswith("----"):
            return {}
        head, *parts = re.split(r"^(?:member|sl[a]ve): ", text, flags=re.MULTILINE)  # two versions
        found = dict(_fields(head), members={})
        for part in parts:
            first, rest = part.split("\n", 1)
            name, status = first.split(": ", 1)
            fields = _fields(rest)
            member = {"status": status.strip(), "may_enable": fields["may_enable"] == "true"}
            for whose in ("actor", "partner"):
                member[whose] = make_end(
                    *(fields[f"{whose} {field}"] for field in ("sys_id", "sys_priority", "key",
                                                               "port_id", "port_priority")),
                    (word.replace("synchronized", "synchronization")
                     for word in fields[f"{whose} state"].split()))
            found["members"][name] = member
        return found

    def used(self, bond):
        """The interface that a bond uses which uses one at a time; None: none, or all."""
        text = self.ask("bond/show", bond, check=False)
        found = re.search(r"^active(?: member| sl[a]ve)? mac: [0-9a-f:]+\((\S+)\)", text, re.MULTILINE)
        if found is None or found.group(1) == "none" or "bond_mode: active-backup" not in text:
            return None
        return found.group(1)

    def enabled(self, bond):
        """Interfaces that the bond sends on."""
        text = self.ask("bond/show", bond, check=False)
        return set(re.findall(r"^(?:member|sl[a]ve) (\S+): enabled", text, flags=re.MULTILINE))


def _fields(text):
    return dict((part.strip() for part in line.split(": ", 1))
                for line in (raw + " " for raw in text.splitlines()) if ": " in line)
