"""Push services on one machine: real servers, real TLS, documented answers, and faults on demand.

In a test
---------
    async with EmulatedFcm() as fcm: ...            # on the test's own event loop
    with running(EmulatedFcm()) as fcm: ...         # in a thread of its own

    fcm.url, fcm.ca_file, fcm.service_account_file  # what a sender is configured with; see also describe()
    fcm.fails_with(503, "UNAVAILABLE", retry_after="30", share=0.5, for_s=120)
    fcm.does("hang"), fcm.does("goaway", limit=400), fcm.does("reset-after", addresses=frozenset({token}))
    fcm.retire([token])                             # gone for good, in the service's own words
    fcm.heals()
    fcm.tokens.expire_all(), fcm.tokens.given       # FCM and WNS: the access tokens
    fcm.accepted(), fcm.times_accepted(message_id), fcm.summary()

Every kind of fault is described at `faults.Do`, every field at `faults.Fault`. An address of the right shape is taken
without having been registered; `new_address()` makes one up. Addresses, credentials and access tokens outlive a restart
on the same `home`; counts, retired addresses and messages that wait for a device do not.

As a process
------------
`manage.py push_services --ca-dir var/push-services` runs all four, prints one line of JSON (also in `addresses.json`
there) and stops on SIGTERM. With `--credentials FILE` the product that reads this CREDENTIALS_FILE sends through them.
`manage.py fault` talks to its control port, plain HTTP: see `control`.

What the devices get
--------------------
A fleet holds one long-lived connection to the devices' port and names the addresses that are online; it receives what
the services accept for them, and what waited while they were away, as JSON lines: see `devices`. From Python:

    async with DeviceStream.opened(addresses["devices"]) as stream:
        await stream.subscribe("fcm", [token])
        async for message in stream.messages():     # Accepted: service, address, message_id, payload, ...
            ...

How long a message waits, and which ones push each other out, follows the real service: FCM 100 plain and 4 collapse
keys, APNs one, WNS one of each type (raw only with `X-WNS-Cache-Policy: cache`), Web Push by TTL and Topic. In the same
process `service.deliveries.listen([address], callback)` does the same without a socket, on the service's event loop.

A real Firefox subscribes here, too, when `dom.push.serverURL` names the browsers' port: see `browsers`.
"""

from simulator.services.apns import EmulatedApns
from simulator.services.deliveries import Accepted
from simulator.services.devices import DeviceStream
from simulator.services.faults import Do, Fault
from simulator.services.fcm import EmulatedFcm
from simulator.services.hosting import running
from simulator.services.together import PushServices
from simulator.services.web_push import EmulatedWebPush
from simulator.services.wns import EmulatedWns

__all__ = [
    "Accepted",
    "DeviceStream",
    "Do",
    "EmulatedApns",
    "EmulatedFcm",
    "EmulatedWebPush",
    "EmulatedWns",
    "Fault",
    "PushServices",
    "running",
]
