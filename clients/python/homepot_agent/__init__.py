"""The device's side of HOMEPOT Delivery, for a program that hosts it.

    from homepot_agent import Agent, Hooks, Introduction, Options

wire.py       every key and topic of the contract (pure)
clock.py      the server's time, whatever the device's clock does (pure)
memory.py     what the device has, owes and is doing, changed by events (pure)
journal.py    those events on disk; store.py both together
enrolment.py  how the device gets its key
ways.py       push service, MQTT, or the inbox alone; link.py the MQTT connection
courier.py    acks on their way; inbox.py, commands.py, telemetry.py, heartbeat.py what their names say
agent.py      all of it on threads
"""

from homepot_agent.agent import Agent
from homepot_agent.commands import Report
from homepot_agent.enrolment import Introduction, WrongFolder
from homepot_agent.link import Broker
from homepot_agent.options import Hooks, Options, State
from homepot_agent.private_files import InUse
from homepot_agent.ways import TokenSource
from homepot_agent.wire import Address, Command, Message

__all__ = [
    "Address",
    "Agent",
    "Broker",
    "Command",
    "Hooks",
    "InUse",
    "Introduction",
    "Message",
    "Options",
    "Report",
    "State",
    "TokenSource",
    "WrongFolder",
]
