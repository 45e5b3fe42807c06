"""Checks of security against what is right, what is wrong, and what is no evidence."""

import pytest

from support.security.checks import Search, all_refused, decoy_found, nothing_told


class TestRefusals:
    def test_refused(self) -> None:
        assert all_refused({"a door": "28P01", "another": "28000"}).holds is True
        assert all_refused({"a pooler": "08P01"}).holds is True
        assert all_refused({"an order": "401", "another": "403", "a command": "NOAUTH"}).holds is True
        assert all_refused({"an order": "401", "another": ""}).holds is False
        assert all_refused({"an order": "401", "another": "500"}).holds is None

    def test_one_believed_among_silent_ones(self) -> None:
        finding = all_refused({"a door": "28P01", "another": "", "a third": "no answer (it is down)"})
        assert finding.holds is False
        assert finding.words == "1 of 3 were believed: another"

    @pytest.mark.parametrize("outcome", ["no answer ([Errno 111] Connection refused)", "53300", "57P03", "28"])
    def test_another_reason_is_no_evidence(self, outcome: str) -> None:
        assert all_refused({"a door": "28P01", "another": outcome}).holds is None

    def test_no_attempt_no_evidence(self) -> None:
        assert all_refused({}).holds is None


class TestDisclosure:
    def searched(self, *contents: bytes, planted: int = 1) -> Search:
        search = Search({"a password": [b"s3cret", b"c2VjcmV0"]}, decoy="decoy-1", planted=planted)
        search.look_into((f"file {number}", content) for number, content in enumerate(contents))
        return search

    def test_nothing_there(self) -> None:
        search = self.searched(b"a log with decoy-1 in it", b"another log")
        assert decoy_found(search).holds is True
        assert nothing_told(search).holds is True
        assert (search.places, search.size) == (2, 35)

    @pytest.mark.parametrize("content", [b"password=s3cret", b"Basic c2VjcmV0"])
    def test_every_form_is_found(self, content: bytes) -> None:
        finding = nothing_told(self.searched(b"decoy-1", content))
        assert finding.holds is False
        assert finding.words == "it can be read: a password in file 1"

    def test_the_words_never_tell_the_secret(self) -> None:
        search = self.searched(b"s3cret")
        assert "s3cret" not in f"{search!r} {nothing_told(search).words}"

    def test_a_decoy_that_is_not_found_everywhere_proves_nothing(self) -> None:
        assert decoy_found(self.searched(b"decoy-1", planted=2)).holds is None
        assert decoy_found(self.searched(b"a log")).holds is None
        assert decoy_found(self.searched(b"decoy-1", planted=0)).holds is None

    def test_nowhere_to_look_and_nothing_to_seek_prove_nothing(self) -> None:
        assert nothing_told(self.searched()).holds is None
        assert nothing_told(Search({}, decoy="decoy-1", places=1, size=9)).holds is None
