"""What goes to a Windows device: raw JSON for the agent, or a toast that Windows shows by itself.

Raw is the rule. Only a raw notification starts a program, which can then act, show and ack at once; nothing runs on a
toast until somebody taps it, and WNS may drop toasts for a device that is offline. An order asks for a toast with
`"platforms": {"wns": {"type": "toast"}}`; whatever else stands there goes over the order's content.

Toast schema: https://learn.microsoft.com/uwp/schemas/tiles/toastschema/schema-root; priorities:
https://learn.microsoft.com/windows/apps/develop/notifications/push-notifications/wns-notification-priorities
(read 2026-11-21).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from xml.etree import ElementTree

from delivery.priority import Priority
from delivery.providers.base import Message, flat, overrides

WNS_PRIORITY = {Priority.CRITICAL: "1", Priority.HIGH: "1", Priority.NORMAL: "2", Priority.LOW: "3"}
MAX_ACTIONS = 5
SCENARIOS = ("reminder", "alarm", "incomingCall", "urgent")
SOUNDS = ("ms-winsoundevent:", "ms-appx:///")
LAUNCH_KEYS = ("message_id", "sent_at", "priority", "data", "ack_token", "ack_url")
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Notification:
    """One request: its body and the headers that depend on its type."""

    body: bytes
    headers: Mapping[str, str]


def notification(message: Message) -> Notification:
    own = overrides(message, "wns")
    plain = flat(replace(message, content={**message.content, **own}))
    common = {
        "x-wns-ttl": str(message.ttl_s),
        "x-wns-priority": WNS_PRIORITY[message.priority],
        "x-wns-requestforstatus": "true",
    }
    if own.get("type") == "toast":
        return Notification(toast(plain), {**common, "x-wns-type": "wns/toast", "content-type": "text/xml"})
    kind = {"x-wns-type": "wns/raw", "content-type": "application/octet-stream", "x-wns-cache-policy": "cache"}
    return Notification(_json(plain).encode("utf-8", errors="replace"), {**common, **kind})


def toast(plain: Mapping[str, Any]) -> bytes:
    """Title, body, pictures, buttons, group and sound as Windows shows them.

    The app that a tap starts gets the rest as JSON: `launch` for the toast, `arguments` for a button.
    """
    launch = _json({key: plain[key] for key in LAUNCH_KEYS})
    root = _element(None, "toast", launch=launch, displayTimestamp=plain["sent_at"])
    if plain.get("scenario") in SCENARIOS:
        root.set("scenario", plain["scenario"])
    binding = _element(_element(root, "visual"), "binding", template="ToastGeneric")
    for key in ("title", "body"):
        _element(binding, "text").text = _xml_text(plain[key])
    for key, placement in (("image", "hero"), ("icon", "appLogoOverride")):
        if isinstance(plain.get(key), str) and plain[key]:
            _element(binding, "image", placement=placement, src=plain[key])
    _add_actions(root, plain)
    _add_sound(root, plain.get("sound"))
    if isinstance(plain.get("thread_id"), str) and plain["thread_id"]:
        _element(root, "header", id=plain["thread_id"], title=plain["thread_id"], arguments=plain["thread_id"])
    return ElementTree.tostring(root, encoding="unicode").encode("utf-8")


def _add_actions(root: ElementTree.Element, plain: Mapping[str, Any]) -> None:
    """Buttons, as `{"action", "title"}` for the app, or with a `url` for the browser."""
    actions = plain.get("actions")
    named = (
        [one for one in actions if isinstance(one, Mapping) and one.get("title")] if isinstance(actions, list) else []
    )
    if not named:
        return
    parent = _element(root, "actions")
    for one in named[:MAX_ACTIONS]:
        if isinstance(one.get("url"), str) and one["url"].startswith("https://"):
            _element(parent, "action", content=one["title"], activationType="protocol", arguments=one["url"])
        else:
            arguments = _json({"action": one.get("action", ""), "message_id": plain["message_id"]})
            _element(parent, "action", content=one["title"], activationType="foreground", arguments=arguments)


def _add_sound(root: ElementTree.Element, sound: Any) -> None:
    """`none` is silence; a sound of Windows or of the app is played; anything else is the default sound."""
    if sound == "none":
        _element(root, "audio", silent="true")
    elif isinstance(sound, str) and sound.startswith(SOUNDS):
        _element(root, "audio", src=sound)


def _element(parent: ElementTree.Element | None, tag: str, **attributes: Any) -> ElementTree.Element:
    clean = {key: _xml_text(value) for key, value in attributes.items()}
    return ElementTree.Element(tag, clean) if parent is None else ElementTree.SubElement(parent, tag, clean)


def _xml_text(value: Any) -> str:
    """What XML cannot hold at all, not even escaped, becomes a replacement character."""
    return NOT_XML.sub("\ufffd", str(value))


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
