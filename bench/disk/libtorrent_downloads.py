"""libtorrent downloading torrents side by side, given the next one when one is whole.

    libtorrent_downloads.py '{"directory", "torrents", "parallel", "queued", "preallocates", "seed"}'

It prints {"event": "listening", "port"}, {"event": "done"} when every torrent is whole (with "seed": when all
files were taken for whole, unchecked), and {"event": "failed", "message"}. End of stdin ends it: what
it holds is written first.
"""
import json
import select
import sys
import time
from pathlib import Path

import libtorrent as lt

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from libtorrent_session import open_session, say

POLL_SECONDS = 0.02


def main():
    task = json.loads(sys.argv[1])
    session = open_session(
        {
            "listen_interfaces": "127.0.0.1:0",
            "allow_multiple_connections_per_ip": True,
            "connections_limit": 2000,
            "connection_speed": 500,
            "unchoke_slots_limit": -1,
            "max_queued_disk_bytes": task["queued"],
            "stop_tracker_timeout": 3,
            "hashing_threads": 2,
            "alert_mask": lt.alert.category_t.error_notification
            | lt.alert.category_t.status_notification,
        }
    )
    say("listening", port=session.listen_port())
    waiting = list(task["torrents"])
    active = []
    whole = []

    def add():
        parameters = lt.add_torrent_params()
        parameters.ti = lt.torrent_info(waiting.pop(0))
        parameters.save_path = task["directory"]
        if task["preallocates"]:
            parameters.storage_mode = lt.storage_mode_t.storage_mode_allocate
        parameters.flags &= ~lt.torrent_flags.auto_managed
        parameters.flags &= ~lt.torrent_flags.paused
        if task["seed"]:
            parameters.flags |= lt.torrent_flags.seed_mode
        active.append(session.add_torrent(parameters))

    told = False
    while True:
        while waiting and len(active) < task["parallel"]:
            add()
        readable, _, _ = select.select([sys.stdin], [], [], POLL_SECONDS)
        if readable and sys.stdin.readline() == "":
            break
        for handle in list(active):
            status = handle.status()
            if status.errc.value() != 0:
                say("failed", message=status.errc.message())
                active.remove(handle)
            elif status.is_seeding:
                active.remove(handle)
                whole.append(handle)
        if not told and not waiting and not active:
            told = True
            say("done")
        for alert in session.pop_alerts():
            print(alert.message(), file=sys.stderr, flush=True)
    # Removing writes what is held.
    left = len(whole) + len(active)
    for handle in whole + active:
        session.remove_torrent(handle)
    deadline = time.monotonic() + 60
    while left > 0 and time.monotonic() < deadline:
        session.wait_for_alert(100)
        for alert in session.pop_alerts():
            if isinstance(alert, lt.torrent_removed_alert):
                left -= 1
    whole.clear()
    active.clear()
    del session


main()
