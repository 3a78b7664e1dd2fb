"""A fault as the control port takes it."""

import json
from typing import Any

import pytest

from simulator.services import Do, Fault


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"do": "explode"}, "do is one of"),
        ({"do": "answer"}, "answer needs status"),
        ({"do": "goaway"}, "goaway needs limit"),
        ({"do": "hang", "chance": 1}, "no chance"),
        ({"do": "hang", "by": "luck"}, "request or address"),
        ({"do": "hang", "share": "half"}, "share is a number"),
        ({"do": "hang", "share": 1.5}, "share is 0 to 1"),
        ({"do": "garbage", "body": "poem"}, "body is one of"),
        ({"do": "answer", "status": 503, "retry_after": "date+soon"}, "date+"),
    ],
)
def test_says_what_is_wrong_with_a_fault(content: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("+", r"\+")):
        Fault.from_json(content)


def test_a_fault_survives_its_way_through_json() -> None:
    fault = Fault(do=Do.QUOTA, limit=5, by="address", addresses=frozenset({"a", "b"}), for_s=2.5)

    assert Fault.from_json(json.loads(json.dumps(fault.to_json()))) == fault
