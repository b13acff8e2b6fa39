"""libtorrent sessions in one process, each at an address of its own, in one swarm.

    capped_sessions.py '{"torrent", "content", "directory", "hosts", "seeds", "uploadRate", "connections"}'

What it takes and says is that of capped-engines.ts beside it.
"""
import json
import os
import select
import sys
from pathlib import Path

import libtorrent as lt

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from libtorrent_session import open_session, say

POLL_SECONDS = 0.1


def session_at(host, task):
    session = open_session(
        {
            "listen_interfaces": f"{host}:0",
            "outgoing_interfaces": host,
            "upload_rate_limit": task["uploadRate"],
            # Payload is what the others limit.
            "rate_limit_ip_overhead": False,
            "connections_limit": task["connections"],
            # One process holds fifty of them.
            "aio_threads": 1,
            "hashing_threads": 1,
            "alert_mask": lt.alert.category_t.error_notification,
        }
    )
    # Local peers are spared the session's limits unless they are told to be of the class of all.
    everybody = lt.ip_filter()
    everybody.add_rule("0.0.0.0", "255.255.255.255", 1 << lt.session.global_peer_class_id)
    session.set_peer_class_filter(everybody)
    return session


def add_torrent(session, host, task, seeds):
    parameters = lt.add_torrent_params()
    parameters.ti = lt.torrent_info(task["torrent"])
    parameters.trackers = []
    parameters.flags |= lt.torrent_flags.override_trackers
    parameters.flags |= lt.torrent_flags.disable_pex
    parameters.flags &= ~lt.torrent_flags.auto_managed
    parameters.flags &= ~lt.torrent_flags.paused
    if seeds:
        parameters.flags |= lt.torrent_flags.seed_mode
        parameters.save_path = os.path.dirname(task["content"])
    else:
        parameters.flags |= lt.torrent_flags.paused
        parameters.save_path = os.path.join(task["directory"], host)
        os.makedirs(parameters.save_path)
    return session.add_torrent(parameters)


def main():
    task = json.loads(sys.argv[1])
    sessions = [session_at(host, task) for host in task["hosts"]]
    torrents = [
        add_torrent(session, host, task, task["seeds"] and i == 0)
        for i, (session, host) in enumerate(zip(sessions, task["hosts"]))
    ]
    leechers = list(zip(task["hosts"], torrents))[1 if task["seeds"] else 0 :]
    say(
        "listening",
        peers=[{"host": host, "port": session.listen_port()} for host, session in zip(task["hosts"], sessions)],
    )
    begun = False
    while True:
        readable, _, _ = select.select([sys.stdin], [], [], POLL_SECONDS)
        if readable:
            line = sys.stdin.readline()
            if line == "":
                break
            if begun:
                say("stats", peers=[stats(host, torrent) for host, torrent in zip(task["hosts"], torrents)])
            else:
                begun = True
                peers = json.loads(line)
                for host, torrent in leechers:
                    torrent.resume()
                    for peer in peers:
                        if peer["host"] != host:
                            torrent.connect_peer((peer["host"], peer["port"]))
        if begun:
            whole = [(host, torrent) for host, torrent in leechers if torrent.status().is_seeding]
            for host, torrent in whole:
                leechers.remove((host, torrent))
                say("whole", host=host)
        for session in sessions:
            for alert in session.pop_alerts():
                print(alert.message(), file=sys.stderr, flush=True)


def stats(host, torrent):
    status = torrent.status()
    return {
        "host": host,
        "uploaded": status.total_payload_upload,
        "downloaded": status.total_payload_download,
    }


main()
