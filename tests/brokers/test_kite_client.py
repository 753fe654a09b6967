from __future__ import annotations

import datetime as dt
import gzip
import socket
import ssl
import subprocess
import sys
import threading

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.brokers.errors_map import SHAPES
from toolkit.brokers.kite_client import Wire, WireError, make_client, shape_of
from toolkit.brokers.kite_settings import KiteSettings
from toolkit.config import Secret

TOKEN = "canarytoken123"


def client(root, **more):
    dates = []
    settings = KiteSettings(root=root, api_key="canarykey", api_secret=Secret("canarysecret"), **more)
    made, _ = make_client(settings, TOKEN, dates.append)
    return made, dates


def failed(kite, act):
    with pytest.raises(WireError) as caught:
        act(kite)
    return caught.value.answer


def test_importing_the_brokers_starts_no_twisted():
    code = (
        "import sys, toolkit.brokers, toolkit.brokers.factory, toolkit.brokers.kite, toolkit.brokers.act\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('twisted', 'kiteconnect', 'requests', 'autobahn')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_official_client_says_what_it_always_says(raw):
    raw.say(raw.answer(b'{"status":"success","data":{"order_id":"1"}}', Date="Fri, 29 Aug 2025 04:00:00 GMT"))
    kite, dates = client(raw.root)
    assert kite.place_order("regular", "NFO", "X", "BUY", 75, "NRML", "LIMIT", price=1.5, tag="A1") == "1"
    head, body = raw.seen[0]
    assert head.startswith("POST /orders/regular HTTP/1.1")
    assert f"Authorization: token canarykey:{TOKEN}" in head
    assert "X-Kite-Version: 3" in head
    assert "tag=A1" in body
    assert "price=1.5" in body
    assert dates == ["Fri, 29 Aug 2025 04:00:00 GMT"]


def test_a_route_prefix_and_strange_ids_stay_inside_their_path(raw):
    raw.say(raw.answer())
    kite, _ = client(raw.root, route_prefix="/oms")
    kite._get("order.info", url_args={"order_id": "../x?y=1"})
    assert raw.seen[0][0].startswith("GET /oms/orders/..%2Fx%3Fy%3D1 HTTP")
    raw.say(raw.answer(b"a,b\n", kind="text/csv"))
    assert kite._get("market.instruments.all") == b"a,b\n"
    assert raw.seen[1][0].startswith("GET /instruments HTTP")


def big(link):
    link.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 20000000\r\n\r\n")
    for _ in range(200):
        try:
            link.sendall(b" " * 100_000)
        except OSError:
            return


GOOD = b'{"status":"success","data":[]}'
ODD = {
    "redirect": (lambda a: a(b"", "302 Found", Location="http://127.0.0.1:1/"), "redirect"),
    "html": (lambda a: a(b"<html>", "502 Bad Gateway", "text/html"), "broken"),
    "no type": (lambda a: a(GOOD, kind=None), "broken"),
    "empty": (lambda a: a(b""), "broken"),
    "cut json": (lambda a: a(b'{"status":"succ'), "broken"),
    "charset": (lambda a: a(b'{"status":"success","data":"\xff\xfe"}'), "broken"),
    "list": (lambda a: a(b"[1,2]"), "odd"),
    "no data": (lambda a: a(b'{"status":"success"}'), "odd"),
    "500 success": (lambda a: a(GOOD, "500 Oops"), "odd"),
    "csv for json": (lambda a: a(b"a,b\n", kind="text/csv"), "broken"),
    "untyped": (lambda a: a(b'{"status":"error","message":"x"}', "400 Bad"), "untyped"),
    "typed": (lambda a: a(b'{"status":"error","error_type":"MarginException","message":"x"}', "400 Bad"), "typed"),
    "200 error": (lambda a: a(b'{"status":"error","error_type":"GeneralException","message":"x"}'), "typed"),
    "short": (lambda a: a(GOOD).replace(b"Content-Length: 30", b"Content-Length: 99"), "cut"),
    "bad gzip": (lambda a: a(b"not gzip", Content_Encoding="gzip"), "broken"),
    "bomb": (lambda a: a(gzip.compress(b" " * 30_000_000), Content_Encoding="gzip"), "broken"),
    "nothing": (lambda a: b"", "cut"),
    "garbage": (lambda a: b"\x00\x01\x02 hello\r\n\r\n", "cut"),
    "too big": (lambda a: big, "broken"),
    "deep": (lambda a: a(b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "broken"),
}


@pytest.mark.parametrize("name", sorted(ODD))
def test_every_odd_answer_has_a_shape(raw, name):
    made, shape = ODD[name]
    raw.say(made(raw.answer))
    kite, _ = client(raw.root)
    found = failed(kite, lambda k: k._get("orders"))
    assert found.shape == shape
    assert len(raw.seen) == 1
    if name == "typed":
        assert (found.status, found.error_type, found.text) == (400, "MarginException", "x")


def test_a_redirect_is_never_followed(raw):
    raw.say(raw.answer(b"", "307 Temporary", Location=f"{raw.root}/elsewhere"))
    kite, _ = client(raw.root)
    assert failed(kite, lambda k: k.place_order("regular", "NFO", "X", "BUY", 1, "NRML", "LIMIT")).shape == "redirect"
    assert len(raw.seen) == 1


def test_silence_ends_after_the_read_time(raw):
    gone = threading.Event()
    raw.say(lambda link: gone.wait(5))
    kite, _ = client(raw.root, read_s=0.05)
    assert failed(kite, lambda k: k.orders()).text == "no answer in time"
    gone.set()


def test_a_trickle_ends_after_the_total_time(raw):
    gone = threading.Event()

    def trickle(link):
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
        while not gone.wait(0.02):
            try:
                link.sendall(b" ")
            except OSError:
                return

    raw.say(trickle)
    kite, _ = client(raw.root, read_s=1.0, total_s=0.15)
    assert failed(kite, lambda k: k.orders()).shape == "cut"
    gone.set()


def test_nothing_listens():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        kite, _ = client(f"http://127.0.0.1:{bound.getsockname()[1]}")
        assert failed(kite, lambda k: k.orders()).shape == "no_link"


@pytest.mark.parametrize("token", ["line\r\nbreak", "sn\u00f6\u20ac"])
def test_a_token_that_is_no_header_sends_nothing(raw, token):
    raw.say(raw.answer())
    kite, _ = client(raw.root)
    kite.access_token = token
    assert failed(kite, lambda k: k.orders()).shape == "no_link"
    assert raw.seen == []


def test_retry_after_as_seconds_and_as_a_date(raw):
    error = b'{"status":"error","error_type":"NetworkException","message":"Too many requests"}'
    date = "Fri, 29 Aug 2025 04:00:00 GMT"
    kite, _ = client(raw.root)
    for header, wait in (("3", 3.0), ("Fri, 29 Aug 2025 04:00:07 GMT", 7.0), ("soon", None), ("-4", None)):
        raw.say(raw.answer(error, "429 Too Many", Retry_After=header, Date=date))
        assert failed(kite, lambda k: k.orders()).retry_after_s == wait


def test_our_secrets_are_taken_out_of_the_brokers_words(raw):
    text = f"bad token {TOKEN} of canarykey with canarysecret\\u0007\\n<b>"
    raw.say(raw.answer(f'{{"status":"error","error_type":"TokenException","message":"{text}"}}'.encode(), "403 No"))
    kite, _ = client(raw.root)
    found = failed(kite, lambda k: k.orders())
    assert found.text == "bad token *** of *** with *** <b>"


def test_the_environment_changes_nothing(raw, monkeypatch, tmp_path):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("CURL_CA_BUNDLE", "")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login evil password evil\n")
    raw.say(raw.answer())
    kite, _ = client(raw.root)
    kite._get("orders")
    assert f"token canarykey:{TOKEN}" in raw.seen[0][0]
    assert kite.reqsession.verify is True


def test_cookies_are_not_kept(raw):
    raw.say(raw.answer(Set_Cookie="session=evil"))
    kite, _ = client(raw.root)
    kite._get("orders")
    kite._get("orders")
    assert "evil" not in raw.seen[1][0]


def self_signed(folder):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    cert = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - dt.timedelta(1)).not_valid_after(now + dt.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = folder / "cert.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(cert.public_bytes(pem) + private)
    return path


def test_a_self_signed_certificate_is_refused_and_an_own_authority_is_taken(raw, tmp_path):
    path = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    raw.secure(context)
    raw.say(raw.answer())
    secure = f"https://localhost:{raw.port}"
    kite, _ = client(secure)
    found = failed(kite, lambda k: k._get("orders"))
    assert (found.shape, found.text) == ("no_link", "the server's TLS certificate is not accepted")
    assert raw.seen == []
    trusted, _ = client(secure, ca_file=str(path))
    assert trusted._get("orders") == {}
    wrong, _ = client(f"https://127.0.0.1:{raw.port}", ca_file=str(path))
    assert failed(wrong, lambda k: k._get("orders")).shape == "no_link"


@given(st.integers(0, 999), st.none() | st.text(max_size=30), st.binary(max_size=80) | st.none(), st.booleans())
def test_any_answer_has_a_shape(status, kind, body, dump):
    answer, _ = shape_of(status, kind, body, dump=dump)
    assert answer.shape in SHAPES
    assert (answer.shape == "ok") <= (200 <= status < 300)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=9), lambda v: st.dictionaries(st.sampled_from(["status", "data", "error_type", "message"]), v)), st.sampled_from([200, 400, 403, 500]))  # fmt: skip
def test_any_json_has_a_shape(value, status):
    body = msgspec.json.encode(value)
    answer, data = shape_of(status, "application/json", body)
    assert answer.shape in SHAPES
    if answer.shape == "ok":
        assert data == value["data"]


def test_a_wire_shows_nothing():
    kite, _ = client("http://127.0.0.1:9")
    assert "canary" not in repr(kite._request.__self__)
    assert isinstance(kite._request.__self__, Wire)
