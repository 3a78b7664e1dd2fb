"""Many simulated devices in one process. They speak the wire contract and know nothing else of the product.

device.py        what one device got and owes
network.py       how good its connection is
habits.py        what it does besides its duty: reboots, wrong clocks, acks twice or late
life.py          what befalls it, as network and habits say
server.py        the product's HTTP API as a device sees it
registration.py  how a device comes to be; roster.py keeps its key for the next run
push_services.py its address at a push service, and its messages from there
listening.py     its messages over MQTT
spool.py         its acks, until the server confirmed them
orders.py        jobs now and then, so that there is something to get
progress.py      how it goes, in one line: totals, rates, memory
troubles.py      what goes wrong at their end, told while they run
ledger.py        each message, as its device tells it
options.py       what a fleet is told when it starts
fleet.py         all of it on one event loop
"""
