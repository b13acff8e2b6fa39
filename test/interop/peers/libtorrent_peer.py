"""A BitTorrent peer made of libtorrent, driven through pipes.

    libtorrent_peer.py version
    libtorrent_peer.py create PATH OUT --piece-bytes N [--format v1|v2|hybrid] --tracker URL...
    libtorrent_peer.py peer --save-path DIR --listen ADDRESS:PORT [--seed] [--unchecked] [--upload-limit N]
                            [--download-limit N] [--tracker URL... | --no-tracker] [--peer ADDRESS:PORT...]
                            [--encryption required|preferred|offered|off] [--dht PORT] [--pex] [--lsd]
                            [--tell-peers] [--utp] (--torrent FILE | --magnet URI)

It prints one JSON object a line: {"event": "listening", "port"}, {"event": "first-byte"} when the
first payload byte has been sent (seeder) or received (leecher), {"event": "metadata"} when a magnet
has its info dictionary, {"event": "complete"} when every piece has passed its hash,
{"event": "error", "message"}. The line "stats" on stdin is answered with
{"event": "stats", "uploaded", "downloaded", "peers"} (payload bytes); "watch" is answered with
{"event": "watching"} and makes it report the next payload byte as a first one. End of file on stdin ends it,
so it never outlives whoever started it. With --tell-peers it prints {"event": "met", "host", "port", "by", "encrypted"}
once for each peer that it has shaken hands with, "by" the ways that it was found.

A seeder checks its files before it reports "complete": what it serves afterwards needs no hashing. With --unchecked it
believes that it has everything, and serves what lies there, right or wrong.
"""
import argparse
import json
import os
import select
import sys
import time

import libtorrent as lt

POLL_SECONDS = 0.01
# Who found nobody says again that it is there: what it said when it began may have been lost, and it repeats
# that after five minutes only.
LOCAL_SECONDS = 5


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def create(arguments):
    storage = lt.file_storage()
    lt.add_files(storage, arguments.path)
    flags = {"v1": lt.create_torrent.v1_only, "v2": lt.create_torrent.v2_only, "hybrid": 0}
    maker = lt.create_torrent(storage, arguments.piece_bytes, flags[arguments.format])
    for tier, url in enumerate(arguments.tracker):
        maker.add_tracker(url, tier)
    lt.set_piece_hashes(maker, os.path.dirname(os.path.abspath(arguments.path)))
    with open(arguments.out, "wb") as out:
        out.write(lt.bencode(maker.generate()))
    info = lt.torrent_info(arguments.out)
    hashes = info.info_hashes()
    # On the wire and at trackers v2 goes by the beginning of its hash.
    name = str(hashes.v1) if hashes.has_v1() else str(hashes.v2)[:40]
    say("created", infoHash=name, magnet=lt.make_magnet_uri(info))


def open_session(arguments):
    policies = {
        "required": lt.enc_policy.pe_forced,
        "preferred": lt.enc_policy.pe_enabled,
        "offered": lt.enc_policy.pe_enabled,
        "off": lt.enc_policy.pe_disabled,
    }
    policy = int(policies[arguments.encryption])
    encryption = {
        "out_enc_policy": policy,
        "in_enc_policy": policy,
        # Where the other side can do both, what follows the handshake is encrypted, too.
        "prefer_rc4": arguments.encryption == "preferred",
        "allowed_enc_level": int(
            lt.enc_level.pe_rc4 if arguments.encryption == "required" else lt.enc_level.pe_both
        ),
    }
    dht = {"enable_dht": False}
    if arguments.dht is not None:
        # All nodes of a test have the same address, and no public one.
        dht = {
            "enable_dht": True,
            "dht_bootstrap_nodes": "",
            "dht_restrict_routing_ips": False,
            "dht_restrict_search_ips": False,
            "dht_ignore_dark_internet": False,
            "dht_prefer_verified_node_ids": False,
        }
    # One or the other: what it is that was spoken must be known.
    tcp = {"enable_outgoing_tcp": False, "enable_incoming_tcp": False} if arguments.utp else {}
    return lt.session(
        {
            **encryption,
            **dht,
            **tcp,
            "listen_interfaces": arguments.listen,
            "enable_lsd": arguments.lsd,
            "disable_hash_checks": arguments.unchecked,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_outgoing_utp": arguments.utp,
            "enable_incoming_utp": arguments.utp,
            "stop_tracker_timeout": 3,
            # Every peer of a test has the same address.
            "allow_multiple_connections_per_ip": True,
            "hashing_threads": 2,
            "alert_mask": lt.alert.category_t.error_notification
            | lt.alert.category_t.tracker_notification
            | lt.alert.category_t.status_notification,
        }
    )


def add_torrent(session, arguments):
    if arguments.magnet is not None:
        parameters = lt.parse_magnet_uri(arguments.magnet)
    else:
        parameters = lt.add_torrent_params()
        parameters.ti = lt.torrent_info(arguments.torrent)
    if arguments.tracker or arguments.no_tracker:
        parameters.trackers = arguments.tracker
        parameters.flags |= lt.torrent_flags.override_trackers
    parameters.save_path = arguments.save_path
    # Unless told otherwise only what a tracker said counts.
    if not arguments.pex:
        parameters.flags |= lt.torrent_flags.disable_pex
    if not arguments.lsd:
        parameters.flags |= lt.torrent_flags.disable_lsd
    if arguments.unchecked:
        parameters.flags |= lt.torrent_flags.seed_mode
    parameters.flags &= ~lt.torrent_flags.auto_managed
    parameters.flags &= ~lt.torrent_flags.paused
    handle = session.add_torrent(parameters)
    if arguments.upload_limit > 0:
        # The session's limit spares peers of the local network; the torrent's does not.
        handle.set_upload_limit(arguments.upload_limit)
    if arguments.download_limit > 0:
        handle.set_download_limit(arguments.download_limit)
    for address in arguments.peer:
        host, port = address.rsplit(":", 1)
        handle.connect_peer((host.strip("[]"), int(port)))
    return handle


WAYS = ("tracker", "dht", "pex", "lsd")


def describe(peer):
    return {
        "host": peer.ip[0],
        "port": peer.ip[1],
        "by": [way for way in WAYS if peer.source & getattr(lt.peer_info, way)],
        "encrypted": bool(peer.flags & lt.peer_info.rc4_encrypted),
    }


def report_alerts(session):
    """Prints them; the number of announces that began, less those that ended."""
    announcing = 0
    for alert in session.pop_alerts():
        if isinstance(alert, lt.tracker_announce_alert):
            announcing += 1
        elif isinstance(alert, (lt.tracker_reply_alert, lt.tracker_error_alert)):
            announcing -= 1
        if isinstance(alert, (lt.listen_failed_alert, lt.file_error_alert)):
            say("error", message=alert.message())
        else:
            print(alert.message(), file=sys.stderr, flush=True)
    return announcing


def peer(arguments):
    session = open_session(arguments)
    if arguments.dht:
        session.add_dht_node((arguments.listen.rsplit(":", 1)[0].strip("[]"), arguments.dht))
    handle = add_torrent(session, arguments)
    say("listening", port=session.listen_port())
    had_metadata = arguments.magnet is None
    had_byte = False
    moved_before = 0
    announcing = 0
    was_complete = False
    met = set()
    told_locally = time.monotonic()
    while True:
        readable, _, _ = select.select([sys.stdin], [], [], POLL_SECONDS)
        status = handle.status()
        if not had_metadata and status.has_metadata:
            had_metadata = True
            say("metadata")
        if arguments.lsd and status.num_peers == 0 and time.monotonic() > told_locally + LOCAL_SECONDS:
            told_locally = time.monotonic()
            handle.pause()
            handle.resume()
        if arguments.tell_peers:
            for peer in handle.get_peer_info():
                if peer.flags & (lt.peer_info.connecting | lt.peer_info.handshake) == 0 and peer.ip not in met:
                    met.add(peer.ip)
                    say("met", **describe(peer))
        moved = status.total_payload_upload if arguments.seed else status.total_payload_download
        if not had_byte and moved > moved_before:
            had_byte = True
            say("first-byte")
        if not was_complete and status.is_seeding:
            was_complete = True
            say("complete")
        if status.errc.value() != 0:
            say("error", message=status.errc.message())
            return
        announcing += report_alerts(session)
        if readable:
            line = sys.stdin.readline()
            if line == "":
                break
            if line.strip() == "watch":
                had_byte, moved_before = False, moved
                say("watching")
            elif line.strip() == "stats":
                say(
                    "stats",
                    uploaded=status.total_payload_upload,
                    downloaded=status.total_payload_download,
                    peers=status.num_peers,
                )
    # While an announce is under way no other is sent, not even "stopped".
    deadline = time.monotonic() + 2
    while announcing > 0 and time.monotonic() < deadline:
        session.wait_for_alert(100)
        announcing += report_alerts(session)
    # A torrent that is removed may take its "stopped" with it, unsent; one that is paused says it first.
    handle.unset_flags(lt.torrent_flags.auto_managed)
    handle.pause()
    began = 0
    announcing = 0
    # Without a tracker there is nobody to tell.
    deadline = time.monotonic() + (8 if handle.trackers() else 0)
    while (began == 0 or announcing > 0) and time.monotonic() < deadline:
        session.wait_for_alert(100)
        for alert in session.pop_alerts():
            if isinstance(alert, lt.tracker_announce_alert):
                began += 1
                announcing += 1
            elif isinstance(alert, (lt.tracker_reply_alert, lt.tracker_error_alert)):
                announcing -= 1
    # Removing writes what is held.
    session.remove_torrent(handle)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        session.wait_for_alert(100)
        if any(isinstance(alert, lt.torrent_removed_alert) for alert in session.pop_alerts()):
            break
    del handle
    del session


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("version")
    creating = commands.add_parser("create")
    creating.add_argument("path")
    creating.add_argument("out")
    creating.add_argument("--piece-bytes", type=int, default=0)
    creating.add_argument("--format", choices=("v1", "v2", "hybrid"), default="v1")
    creating.add_argument("--tracker", action="append", default=[])
    peering = commands.add_parser("peer")
    peering.add_argument("--save-path", required=True)
    peering.add_argument("--listen", required=True)
    peering.add_argument("--seed", action="store_true")
    peering.add_argument("--unchecked", action="store_true")
    peering.add_argument("--encryption", choices=("required", "preferred", "offered", "off"), default="offered")
    peering.add_argument("--pex", action="store_true")
    peering.add_argument("--lsd", action="store_true")
    peering.add_argument("--tell-peers", action="store_true")
    peering.add_argument("--no-tracker", action="store_true")
    peering.add_argument("--peer", action="append", default=[])
    peering.add_argument("--download-limit", type=int, default=0)
    peering.add_argument("--utp", action="store_true")
    peering.add_argument("--dht", type=int)
    peering.add_argument("--upload-limit", type=int, default=0)
    peering.add_argument("--tracker", action="append", default=[])
    source = peering.add_mutually_exclusive_group(required=True)
    source.add_argument("--torrent")
    source.add_argument("--magnet")
    arguments = parser.parse_args()
    if arguments.command == "version":
        say("version", version=lt.version)
    elif arguments.command == "create":
        create(arguments)
    else:
        peer(arguments)


main()
