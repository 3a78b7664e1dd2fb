"""Push services on one machine: real servers, real TLS, documented answers, and faults on demand.

In a test
---------
    async with EmulatedFcm() as fcm: ...            # on the test's own event loop
    with running(EmulatedFcm()) as fcm: ...         # in a thread of its own

    fcm.url, fcm.ca_file, fcm.service_account_file  # what a sender is configured with
    fcm.fails_with(503, "UNAVAILABLE", retry_after="30", share=0.5, for_s=120)
    fcm.does("hang"), fcm.does("goaway", limit=400), fcm.does("reset-after", addresses=frozenset({token}))
    fcm.retire([token])                             # gone for good, in the service's own words
    fcm.heals()
    fcm.accepted(), fcm.times_accepted(message_id), fcm.summary()

Every kind of fault is described at `faults.Do`, every field at `faults.Fault`. An address of the right shape is taken
without having been registered; `new_address()` makes one up.
"""

from simulator.services.apns import EmulatedApns
from simulator.services.deliveries import Accepted
from simulator.services.faults import Do, Fault
from simulator.services.fcm import EmulatedFcm
from simulator.services.hosting import running
from simulator.services.web_push import EmulatedWebPush
from simulator.services.wns import EmulatedWns

__all__ = ["Accepted", "Do", "EmulatedApns", "EmulatedFcm", "EmulatedWebPush", "EmulatedWns", "Fault", "running"]
