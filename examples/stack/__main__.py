"""The command line of `examples/run-local`."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from .check import LANES, TROUBLES, Check, Lane
from .lint import BY_HAND, offline
from .processes import ROOT, StackError, free_ports
from .stack import PORTS, Stack, usual_ports


def interrupted(*_):
    raise KeyboardInterrupt


def up(options) -> None:
    stack = Stack(options.data, options.pace, 2 if options.ha else 1, usual_ports())
    try:
        stack.up()
        if not options.quiet:
            stack.start_traffic("--rate", str(options.rate))
        print(f"Watchfire     {stack.url('watchfire')}   user watchfire, password in {stack.data / 'token'}")
        for name in ("prometheus", "alertmanager", "shop"):
            print(f"{name.capitalize():13} {stack.url(name)}")
        print(f"PostgreSQL and Redis at {stack.ports['postgres']} and {stack.ports['redis']} of 127.0.0.1")
        print(f"Runbooks      their commands work after: . {stack.data / 'env'}")
        print(f"Logs          {stack.data / 'logs'}\nCtrl-C takes everything down.", flush=True)
        stack.wait()
    except KeyboardInterrupt:
        print("stopping", flush=True)
    finally:
        stack.down()
        if not options.keep:
            shutil.rmtree(stack.data, ignore_errors=True)


def check(options) -> None:
    """Both lanes side by side, each a stack and a process of its own; or one of them, or one with the troubles that were named."""
    if options.only:
        lane = Lane("chosen", frozenset(options.only))
    elif options.lane:
        lane = next(one for one in LANES if one.name == options.lane)
    else:
        return side_by_side([one.name for one in LANES], options)
    number = LANES.index(lane) if lane in LANES else len(LANES)
    stack = Stack(options.data, options.pace, 2 if options.ha else 1, free_ports(len(PORTS), number))
    try:
        stack.up()
        Check(stack, lane, options.healthy_seconds).run()
    except StackError:
        # The folder goes with the processes; what was said last may be what is looked for.
        for name, process in stack.processes.items():
            print(f"---- {lane.name}: {name}\n{process.tail(6)}", file=sys.stderr, flush=True)
        raise
    finally:
        stack.down()
        if not options.keep:
            shutil.rmtree(stack.data, ignore_errors=True)


def side_by_side(lanes: list[str], options) -> None:
    """Runs each lane; when one fails the others are taken down."""
    more = [f"--pace={options.pace}", *["--ha"] * options.ha, *["--keep"] * options.keep]
    if options.healthy_seconds is not None:
        more.append(f"--healthy-seconds={options.healthy_seconds}")
    running = {lane: subprocess.Popen([sys.executable, "-m", "stack", "check", f"--lane={lane}", f"--data={options.data / lane}", *more])
               for lane in lanes}
    failed = []
    try:
        while running and not failed:
            for lane in [lane for lane, child in running.items() if child.poll() is not None]:
                if running.pop(lane).returncode:
                    failed.append(lane)
            time.sleep(0.2)
    finally:
        for child in running.values():
            child.terminate()
        for child in running.values():
            child.wait()
    if failed:
        raise StackError(f"it does not hold: {', '.join(failed)}")


def lint(options) -> None:
    offline(frozenset(options.without))


def data_folder() -> Path:
    """STACK_DATA, or a folder beside the code."""
    return Path(os.environ.get("STACK_DATA", ROOT / ".stack"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="run-local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, work, about in (("up", up, "start everything until Ctrl-C"), ("check", check, "start, check, break, take down"),
                              ("lint", lint, "checks that need nothing running")):
        command = commands.add_parser(name, help=about)
        command.set_defaults(work=work)
        if name == "lint":
            command.add_argument("--without", action="append", choices=BY_HAND, default=[], help="a checker that is left out, by hand")
            continue
        command.add_argument("--data", type=Path, default=data_folder() / name, help="folder; removed at the end")
        command.add_argument("--keep", action="store_true", help="keep the folder")
        command.add_argument("--ha", action="store_true", help="two replicas of Prometheus")
        command.add_argument("--pace", type=float, default=1 if name == "up" else 20, help="how much faster time runs")
        if name == "up":
            command.add_argument("--rate", type=float, default=6, help="journeys a second of the traffic")
            command.add_argument("--quiet", action="store_true", help="no traffic")
        else:
            command.add_argument("--healthy-seconds", type=float, help="how long nothing may fire")
            part = command.add_mutually_exclusive_group()
            part.add_argument("--lane", choices=[one.name for one in LANES], help="only this half of the check")
            part.add_argument("--only", action="append", choices=[one.name for one in TROUBLES],
                              help="a stack that is broken in this way only")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupted)
    try:
        options.work(options)
    except StackError as error:
        print(f"run-local: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
