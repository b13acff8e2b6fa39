"""A libtorrent session as the benchmarks want it, and what it says: one JSON object a line.

It meets no peers but those that it is told of, over TCP in the clear. The programs that use it lie in folders below,
and put this one on their path.
"""
import json

import libtorrent as lt


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def open_session(settings):
    """A session with these settings beside those that all of them have."""
    return lt.session(
        {
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_outgoing_utp": False,
            "enable_incoming_utp": False,
            "out_enc_policy": int(lt.enc_policy.pe_disabled),
            "in_enc_policy": int(lt.enc_policy.pe_disabled),
            **settings,
        }
    )
