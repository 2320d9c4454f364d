"""The page is not opened to a network by a slip of the pen."""

from __future__ import annotations

import pytest

from microarpes.beamline.page_access import LEAST_TOKEN, Access

TOKEN = "t" * LEAST_TOKEN


@pytest.fixture
def token(tmp_path):
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    return file


def test_loopback_needs_nothing():
    access = Access.checked("127.0.0.1", [], None).serving("127.0.0.1", 5006)
    assert access.hosts == {"127.0.0.1:5006", "localhost:5006"}
    assert access.knows("")


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.10"])
def test_a_network_needs_token_and_names(address, token):
    for hosts, file in (([], None), (["pc:1"], None), ([], token)):
        with pytest.raises(ValueError, match="--view-token"):
            Access.checked(address, hosts, file)
    access = Access.checked(address, ["pc:5006"], token).serving(address, 5006)
    assert access.hosts == {"pc:5006", f"{address}:5006"}
    assert access.knows(TOKEN)
    assert not access.knows("")
    assert not access.knows(TOKEN[:-1] + "\N{LATIN SMALL LETTER E WITH ACUTE}")


def test_a_short_token_and_a_missing_file_are_refused(tmp_path):
    (tmp_path / "token").write_text("short")
    with pytest.raises(ValueError, match="5 letters"):
        Access.checked("127.0.0.1", [], tmp_path / "token")
    with pytest.raises(FileNotFoundError):
        Access.checked("127.0.0.1", [], tmp_path / "none")


def test_what_is_no_address_is_named():
    with pytest.raises(ValueError, match="'pc' is no IP address"):
        Access.checked("pc", [], None)


class Request:
    def __init__(self, **headers):
        self.headers = headers


def test_another_host_and_another_origin_are_refused():
    access = Access.checked("127.0.0.1", [], None).serving("127.0.0.1", 5006)
    assert access.refusal(Request(Host="localhost:5006")) == ""
    assert access.refusal(Request(Host="localhost:5006", Origin="http://localhost:5006")) == ""
    assert access.refusal(Request(Host="localhost:5007"))
    assert access.refusal(Request())
    # a name that resolves to this machine (DNS rebinding), and a page from elsewhere
    assert access.refusal(Request(Host="rebound.example:5006"))
    assert access.refusal(Request(Host="localhost:5006", Origin="http://localhost:5006.evil.example"))
    assert access.refusal(Request(Host="localhost:5006", Origin="null"))
