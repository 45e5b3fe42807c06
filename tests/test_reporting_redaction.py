"""No password stays in a text, in whatever form it stands there."""

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.reporting.evidence import MASK, SHORTEST, Redactor

ODD = "pä ss/w\"o'r\\d&="


@pytest.mark.parametrize(
    "text",
    [
        ODD,
        f"password={ODD} host=db",
        json.dumps({"password": ODD}),
        json.dumps({"password": ODD}, ensure_ascii=False),
        f"postgresql://app:{quote(ODD, safe='')}@db/postgres",
        f"http://stats:{quote_plus(ODD)}@proxy/",
    ],
)
def test_a_secret_is_masked_in_every_form(text: str) -> None:
    masked = Redactor([ODD]).mask(text)
    assert MASK in masked
    assert "ss/w" not in masked
    assert "ss%2Fw" not in masked


def test_a_secret_that_holds_another_is_masked_whole() -> None:
    assert Redactor(["secret", "secret-of-redis"]).mask("it is secret-of-redis") == f"it is {MASK}"


def test_what_is_no_secret_stays() -> None:
    assert Redactor([None, "", "abc"]).mask("abc is too short to hide") == "abc is too short to hide"


LETTERS = "ab"  # so few that a secret often overlaps what is around it


@given(st.text(LETTERS, min_size=SHORTEST, max_size=6), st.text(LETTERS), st.text(LETTERS))
def test_nothing_around_a_secret_brings_it_back(secret: str, before: str, after: str) -> None:
    assert secret not in Redactor([secret]).mask(before + secret + after)


@given(st.text(min_size=SHORTEST, alphabet="abcdefgh"), st.binary())
def test_bytes_are_masked_as_texts_are(secret: str, around: bytes) -> None:
    assert secret.encode() not in Redactor([secret]).mask_bytes(around.upper() + secret.encode() + around.upper())
