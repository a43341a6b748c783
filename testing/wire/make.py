#!/usr/bin/python3
"""Writes the wire corpus beside itself: what strangers and origins may send, and what is to become of it.

Each case is a file in requests/, answers/ or hellos/, and a line in expected.tsv: the file, what each of its messages
is in turn, and why. The expectations are written here by hand, from the RFCs and from what is known as attacks; no
program of ours computed them. testing/test_wire.c reads the files with the readers, cut at every point;
testing/scenario/test_wire.py sends the requests to a running gateway.

  requests  the host in normal form of one that is accepted ("-": it names none); the status of one that is refused
            (nothing is read behind it); "more": it is not whole; "end": the client says that it was the last one
  answers   CODE or CODE/BYTES of a body whose end is known; CODE/close: all until the end; 502; "more"
  hellos    "name:" and the server's name, "none", "refused", "more"
"""

import os
import shutil
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = []
NAMES = set()


def case(folder, name, data, expected, why):
    path = f"{folder}/{name}"
    assert path not in NAMES, path
    NAMES.add(path)
    CASES.append((path, data if isinstance(data, bytes) else data.encode("latin-1"), expected, why))


# --- requests

HOST = "Host: a.example\r\n"
NEXT = "GET /next HTTP/1.1\r\nHost: next.example\r\n\r\n"  # what stands behind a message, and must stay outside of it


def request(name, data, expected, why):
    case("requests", name, data, expected, why)


def line(name, text, expected, why):
    request("line-" + name, text + "\r\n" + HOST + "\r\n", expected, why)


def target(name, text, expected, why, method="GET", host=HOST):
    request("target-" + name, f"{method} {text} HTTP/1.1\r\n{host}\r\n", expected, why)


def host(name, value, expected, why):
    request("host-" + name, f"GET / HTTP/1.1\r\nHost: {value}\r\n\r\n", expected, why)


def field(name, text, expected, why):
    request("field-" + name, f"GET / HTTP/1.1\r\n{HOST}{text}\r\n\r\n", expected, why)


def framing(name, lines, body, expected, why):
    head = "POST / HTTP/1.1\r\n" + HOST + "".join(x + "\r\n" for x in lines)
    request("framing-" + name, head + "\r\n" + body, expected, why)


def chunks(name, body, expected, why):
    head = "POST / HTTP/1.1\r\n" + HOST + "Transfer-Encoding: chunked\r\n\r\n"
    request("chunks-" + name, head + body, expected, why)


CONTROLS = [n for n in range(1, 0x20) if n not in (9, 10, 13)] + [0x7F]


def requests_lines():
    for method in "GET HEAD POST PUT DELETE OPTIONS PATCH TRACE PROPFIND get A".split():
        line("method-" + method + ("-small" if method.islower() else ""), f"{method} / HTTP/1.1", "a.example", "any token is a method")
    line("method-32", "A" * 32 + " / HTTP/1.1", "a.example", "as long as a method may be")
    line("method-33", "A" * 33 + " / HTTP/1.1", "400", "longer than a method may be")
    line("method-marks", "!#$%&'*+-.^_`|~ / HTTP/1.1", "a.example", "all marks of a token")
    for mark in "(),/:;<=>?@[]{}\"\\":
        line(f"method-{ord(mark):02x}", f"G{mark}T / HTTP/1.1", "400", "no byte of a token")
    line("space-first", " GET / HTTP/1.1", "400", "a space before the method")
    line("space-two", "GET  / HTTP/1.1", "400", "some readers skip the second space, to others the target is empty")
    line("space-two-behind", "GET /  HTTP/1.1", "400", "the same behind the target")
    line("space-last", "GET / HTTP/1.1 ", "400", "a space behind the version")
    line("space-in-target", "GET /a b HTTP/1.1", "400", "some readers take the last space")
    line("tab", "GET\t/\tHTTP/1.1", "400", "tabs separate only for some")
    line("tab-behind", "GET /\tHTTP/1.1", "400", "the same")
    line("vt", "GET\v/ HTTP/1.1", "400", "what isspace() takes for a space")
    line("ff", "GET /\fHTTP/1.1", "400", "what isspace() takes for a space")
    line("no-version", "GET /", "400", "HTTP/0.9")
    line("no-target", "GET HTTP/1.1", "400", "a version where the target is")
    line("only-method", "GET", "400", "nothing else")
    line("empty-target", "GET  HTTP/1.1", "400", "no target between the spaces")
    line("cr-in", "GET /\r HTTP/1.1", "400", "a bare CR ends a line for some")
    line("cr-two", "GET / HTTP/1.1\r", "400", "two CR")
    line("version-twice", "GET / HTTP/1.1 HTTP/1.1", "400", "two versions")
    for version, status in (("0.9", 505), ("1.2", 505), ("1.9", 505), ("2.0", 505), ("3.0", 505), ("9.9", 505)):
        line("version-" + version, f"GET / HTTP/{version}", str(status), "no version that is known here")
    for name, version in (("one", "HTTP/1"), ("dot", "HTTP/1."), ("two-digits", "HTTP/1.10"), ("eleven", "HTTP/11"),
                          ("zero", "HTTP/01.1"), ("comma", "HTTP/1,1"), ("plus", "HTTP/+1.1"), ("small", "http/1.1"),
                          ("mixed", "Http/1.1"), ("icap", "ICAP/1.0"), ("rtsp", "RTSP/1.0"), ("space", "HTTP /1.1"),
                          ("slash", "HTTP//1.1"), ("tail", "HTTP/1.1x"), ("sip", "SIP/2.0")):
        line("version-" + name, f"GET / {version}", "400", "not the version of HTTP in its one spelling")
    request("line-lf", "GET / HTTP/1.1\n" + HOST + "\r\n", "400", "a bare LF ends a line for some")
    request("line-lf-all", "GET / HTTP/1.1\nHost: a.example\n\n", "400", "a head with LF only")
    request("line-cr-all", "GET / HTTP/1.1\rHost: a.example\r\r", "more", "a head with CR only has no end")
    request("line-crlf-first", "\r\nGET / HTTP/1.1\r\n" + HOST + "\r\n", "400", "an empty line before a request")
    request("line-crlf-between", "GET / HTTP/1.1\r\n" + HOST + "\r\n\r\n" + NEXT, "a.example 400",
            "an empty line between requests: some take it for the end of a body")
    request("line-nul", b"GET /\0 HTTP/1.1\r\nHost: a.example\r\n\r\n", "400", "what C ends a string with")
    request("line-nul-first", b"\0GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "400", "the same")
    request("line-long", "GET /" + "a" * (8192 - 14) + " HTTP/1.1\r\n" + HOST + "\r\n", "a.example", "8 KiB")
    request("line-too-long", "GET /" + "a" * (8192 - 13) + " HTTP/1.1\r\n" + HOST + "\r\n", "431", "a byte more than 8 KiB")
    request("line-endless", "GET /" + "a" * 20000, "431", "it is refused before its end is seen")


def requests_targets():
    ok = [("root", "/"), ("query", "/a?b=c&d"), ("dots", "/a/../../b"), ("slashes", "//b.example/c"), ("encoded", "/%2e%2e/%00"),
          ("bad-encoding", "/%zz%"), ("at", "/@b.example"), ("url-in-path", "/http://b.example/"), ("semicolon", "/a;b"),
          ("marks", "/\"<>\\^`{|}"), ("question", "/?"), ("query-url", "/?http://b.example/")]
    for name, text in ok:
        target(name, text, "a.example", "a path passes as it was written")
    target("hash", "/a#b", "400", "some take the rest for a fragment")
    target("hash-only", "#", "400", "the same")
    target("utf8", "/\xc3\xa4", "400", "bytes beyond ASCII are to be encoded")
    target("latin1", "/\xe4", "400", "the same")
    target("ff", "/\xff", "400", "the same")
    for n in CONTROLS:
        target(f"control-{n:02x}", f"/a{chr(n)}b", "400", "a control byte")
    target("star-get", "*", "400", "a star is for OPTIONS")
    target("star-options", "*", "a.example", "the server as a whole", method="OPTIONS")
    target("star-more", "*/a", "400", "neither a star nor a path", method="OPTIONS")
    target("no-slash", "a", "400", "no path")
    target("host", "a.example", "400", "no path")
    target("host-port", "a.example:80", "400", "an authority is for CONNECT")
    target("question-only", "?a", "400", "no path")
    target("backslash", "\\a", "400", "no path")
    target("url", "http://a.example/b", "a.example", "the form for proxies, and both say the same host")
    target("url-bare", "http://a.example", "a.example", "a URL without a path")
    target("url-query", "http://a.example?b", "a.example", "a URL with a query only")
    target("url-case", "HTTP://A.Example/", "a.example", "hosts and schemes have no case")
    target("url-https", "https://a.example/", "a.example", "as it is behind a server that ends TLS")
    target("url-other", "http://b.example/", "400", "some take the host from the URL, some from Host")
    target("url-port", "http://a.example:8080/", "400", "the same with a port")
    target("url-port-both", "http://a.example:8080/", "a.example", "the same port in both", host="Host: a.example:8080\r\n")
    target("url-dot", "http://a.example./", "400", "another spelling than Host's")
    target("url-user", "http://u@a.example/", "400", "a user in a URL")
    target("url-user-host", "http://a.example@b.example/", "400", "what looks like the host is the user")
    target("url-empty", "http://", "400", "a URL without a host")
    target("url-empty-host", "http:///b", "400", "the same")
    target("url-one-slash", "http:/a.example/", "400", "no URL")
    target("url-no-slash", "http:a.example", "400", "no URL")
    target("url-encoded", "http://a%2eexample/", "400", "an escape in a host")
    target("url-backslash", "http://a.example\\@b.example/", "400", "a backslash is a slash for some")
    target("url-ftp", "ftp://a.example/", "400", "another scheme")
    target("url-ws", "ws://a.example/", "400", "another scheme")
    target("url-file", "file:///etc/passwd", "400", "another scheme")
    target("url-sixth", "http://[::1]:80/", "[::1]", "an IPv6 address", host="Host: [::1]:80\r\n")
    target("url-options", "http://a.example", "a.example", "OPTIONS of a server as a whole", method="OPTIONS")
    for name, text in (("port", "a.example:443"), ("host", "a.example"), ("path", "/"), ("star", "*"), ("url", "http://a.example/")):
        target("connect-" + name, text, "405", "CONNECT is for proxies", method="CONNECT")
    request("target-old-url", "GET http://a.example/ HTTP/1.0\r\n\r\n", "a.example end", "the URL is all that names a host")
    request("target-old-url-bad", "GET http://u@a.example/ HTTP/1.0\r\n\r\n", "400", "the same, and it is not valid")
    request("target-old-url-other", "GET http://b.example/ HTTP/1.0\r\n" + HOST + "\r\n", "400", "two hosts in HTTP/1.0")


def requests_hosts():
    request("host-none", "GET / HTTP/1.1\r\n\r\n", "400", "HTTP/1.1 has one")
    request("host-none-others", "GET / HTTP/1.1\r\nX: a.example\r\n\r\n", "400", "the same")
    request("host-none-old", "GET / HTTP/1.0\r\n\r\n", "- end", "HTTP/1.0 may have none")
    request("host-twice", "GET / HTTP/1.1\r\n" + HOST + HOST + "\r\n", "400", "the same one twice")
    request("host-twice-other", "GET / HTTP/1.1\r\n" + HOST + "Host: b.example\r\n\r\n", "400", "some take the first, some the last")
    request("host-twice-case", "GET / HTTP/1.1\r\n" + HOST + "hOST: b.example\r\n\r\n", "400", "the same")
    request("host-twice-apart", "GET / HTTP/1.1\r\n" + HOST + "X: y\r\nHost: b.example\r\n\r\n", "400", "the same")
    request("host-twice-old", "GET / HTTP/1.0\r\n" + HOST + HOST + "\r\n", "400", "the same in HTTP/1.0")
    request("host-twice-empty", "GET / HTTP/1.1\r\nHost:\r\n" + HOST + "\r\n", "400", "the first one empty")
    request("host-folded", "GET / HTTP/1.1\r\nHost:\r\n a.example\r\n\r\n", "400", "a folded line")
    request("host-folded-more", "GET / HTTP/1.1\r\n" + HOST + " b.example\r\n\r\n", "400", "a folded line")
    request("host-behind-fold", "GET / HTTP/1.1\r\nX: y\r\n Host: b.example\r\n" + HOST + "\r\n", "400", "a folded line that is none for some")
    request("host-space-before", "GET / HTTP/1.1\r\n Host: b.example\r\n" + HOST + "\r\n", "400", "the first line folded")
    request("host-space-colon", "GET / HTTP/1.1\r\nHost : a.example\r\n\r\n", "400", "a space before the colon")
    request("host-tab-colon", "GET / HTTP/1.1\r\nHost\t: a.example\r\n\r\n", "400", "a tab before the colon")
    request("host-twice-space", "GET / HTTP/1.1\r\n" + HOST + "Host : b.example\r\n\r\n", "400", "a second one that some do not see")
    request("host-no-space", "GET / HTTP/1.1\r\nHost:a.example\r\n\r\n", "a.example", "the space is not needed")
    request("host-spaces", "GET / HTTP/1.1\r\nHost:   a.example  \r\n\r\n", "a.example", "spaces around are none of its")
    request("host-tab", "GET / HTTP/1.1\r\nHost:\ta.example\r\n\r\n", "400", "a tab is a part of it for some")
    request("host-tab-behind", "GET / HTTP/1.1\r\nHost: a.example\t\r\n\r\n", "400", "the same")
    request("host-name-case", "GET / HTTP/1.1\r\nhOsT: a.example\r\n\r\n", "a.example", "names have no case")
    request("host-last", "GET / HTTP/1.1\r\nX: y\r\n" + HOST + "\r\n", "a.example", "fields have no order")
    request("host-lookalike", "GET / HTTP/1.1\r\nX-Host: b.example\r\n" + HOST + "Hostname: c\r\n\r\n", "a.example", "other names")
    request("host-in-body", "POST / HTTP/1.1\r\n" + HOST + "Content-Length: 17\r\n\r\nHost: b.example\r\n" + NEXT, "a.example next.example", "a body is no head")
    request("host-in-value", "GET / HTTP/1.1\r\nX: Host: b.example\r\n" + HOST + "\r\n", "a.example", "a value is no field")
    request("host-nul", b"GET / HTTP/1.1\r\nHost: a.example\0.b\r\n\r\n", "400", "what C ends a string with")
    host("empty", "", "400", "nothing")
    host("blank", "  ", "400", "nothing")
    host("dot-behind", "a.example.", "a.example", "the root's dot")
    host("dots-behind", "a.example..", "400", "an empty label")
    host("dot", ".", "400", "no label")
    host("dot-first", ".a.example", "400", "an empty label")
    host("dot-dot", "a..example", "400", "an empty label")
    host("case", "A.EXAMPLE", "a.example", "names have no case")
    host("case-port", "A.EXAMPLE:443", "a.example", "the same with a port")
    host("port-80", "a.example:80", "a.example", "a port is no part of the name")
    host("port-8080", "a.example:8080", "a.example", "the same")
    host("port-65535", "a.example:65535", "a.example", "the last port")
    host("dot-port", "a.example.:80", "a.example", "a dot and a port")
    host("port-0", "a.example:0", "400", "no port")
    host("port-65536", "a.example:65536", "400", "beyond the last port")
    host("port-long", "a.example:000080", "400", "six digits")
    host("port-zeros", "a.example:0080", "400", "another spelling")
    host("port-none", "a.example:", "400", "a colon and no port")
    host("port-word", "a.example:http", "400", "no number")
    host("port-plus", "a.example:+80", "400", "what strtol() takes")
    host("port-minus", "a.example:-80", "400", "the same")
    host("port-hex", "a.example:0x50", "400", "the same")
    host("port-two", "a.example:80:80", "400", "two ports")
    host("port-only", ":80", "400", "no name")
    host("ip", "192.0.2.1", "192.0.2.1", "an address")
    host("ip-port", "192.0.2.1:8080", "192.0.2.1", "with a port")
    host("ip-hex", "0x7f.1", "400", "an address for inet_aton() and a name for others")
    host("ip-hex-long", "0x7f000001", "400", "the same")
    host("ip-number", "2130706433", "400", "the same")
    host("ip-octal", "0177.0.0.1", "400", "the same")
    host("ip-zeros", "127.000.000.001", "400", "the same")
    host("ip-short", "127.1", "400", "the same")
    host("ip-three", "192.0.2", "400", "the same")
    host("ip-five", "192.0.2.1.5", "400", "a name whose last label is a number")
    host("ip-256", "256.0.0.1", "400", "no address, and no name")
    host("ip-label", "1.example", "1.example", "a number as another label")
    host("number-last", "example.1", "400", "a last label that is a number")
    host("hex-last", "example.0x1", "400", "a last label that is a number in hexadecimal")
    host("sixth", "[::1]", "[::1]", "an IPv6 address")
    host("sixth-port", "[::1]:80", "[::1]", "with a port")
    host("sixth-long", "[0:0:0:0:0:0:0:1]", "[::1]", "in its shortest form")
    host("sixth-case", "[2001:DB8::A]", "[2001:db8::a]", "without case")
    host("sixth-mapped", "[::ffff:192.0.2.1]", "192.0.2.1", "an IPv4 address")
    host("sixth-bare", "::1", "400", "without brackets")
    host("sixth-open", "[::1", "400", "an open bracket")
    host("sixth-closed", "::1]", "400", "a closing bracket")
    host("sixth-empty", "[]", "400", "nothing in brackets")
    host("sixth-bad", "[::g]", "400", "no address")
    host("sixth-zone", "[fe80::1%25eth0]", "400", "a zone")
    host("sixth-tail", "[::1]a", "400", "something behind the bracket")
    host("sixth-fourth", "[192.0.2.1]", "400", "an IPv4 address in brackets")
    host("sixth-future", "[v1.a]", "400", "an address of a kind to come")
    host("alabel", "xn--bcher-kva.example", "xn--bcher-kva.example", "an A-label")
    host("alabel-case", "XN--BCHER-KVA.example", "xn--bcher-kva.example", "an A-label has no case")
    host("utf8", "b\xc3\xbccher.example", "400", "bytes beyond ASCII")
    host("latin1", "b\xfccher.example", "400", "the same")
    host("fullwidth", "\xef\xbd\x81.example", "400", "the same: a wide letter")
    host("encoded-dot", "a%2eexample", "400", "an escape")
    host("encoded", "%61.example", "400", "an escape")
    host("percent", "a%.example", "400", "an escape that is none")
    host("user", "user@a.example", "400", "a user")
    host("user-pass", "user:pass@a.example", "400", "a user with a password")
    host("user-empty", "@a.example", "400", "an empty user")
    host("space-in", "a.example b.example", "400", "two hosts for some")
    host("tab-in", "a.example\tb", "400", "the same")
    host("comma", "a.example,b.example", "400", "two hosts for some")
    host("comma-space", "a.example, b.example", "400", "the same")
    host("semicolon", "a.example;b", "400", "no byte of a host")
    host("slash", "a.example/b", "400", "a path")
    host("backslash", "a.example\\b", "400", "a path for some")
    host("question", "a.example?b", "400", "a query")
    host("hash", "a.example#b", "400", "a fragment")
    host("url", "http://a.example", "400", "a URL")
    host("star", "*.example", "400", "a pattern")
    host("quoted", "\"a.example\"", "400", "quotes")
    host("angle", "<a.example>", "400", "brackets")
    host("dollar", "$a.example", "400", "the mark of private tunnels")
    host("underscore", "_a.example", "_a.example", "not RFC 952, but there")
    host("hyphens", "-a-.example", "-a-.example", "the same")
    host("label-63", "a" * 63 + ".example", "a" * 63 + ".example", "as long as a label may be")
    host("label-64", "a" * 64 + ".example", "400", "longer than a label may be")
    long = ".".join(["a" * 61] * 4) + ".aaaaa"
    assert len(long) == 253
    host("long-253", long, long, "as long as a name may be")
    host("long-253-dot", long + ".", long, "with the root's dot")
    host("long-254", long + "a", "400", "longer than a name may be")
    host("long-8000", "a." * 4000, "400", "much longer")
    for n in CONTROLS:
        host(f"control-{n:02x}", f"a{chr(n)}.example", "400", "a control byte")


def requests_fields():
    ok = [("plain", "X: y"), ("empty", "X:"), ("no-space", "X:y"), ("blanks", "X: \t y \t "), ("utf8", "X: \xc3\xa4"),
          ("latin1", "X: \xe4\xff"), ("colons", "X: a: b: c"), ("marks", "!#$%&'*+-.^_`|~: y"), ("digits", "123: y"),
          ("long", "X: " + "y" * 8189), ("twice", "X: y\r\nX: z"), ("quoted", "X: \"a\\\"b\""), ("tab-in", "X: a\tb"),
          ("te", "TE: trailers"), ("proxy-auth", "Proxy-Authorization: Basic eDp5"), ("expect", "Expect: 100-continue"),
          ("expect-other", "Expect: something"), ("lookalike", "Content_Length: 5\r\nTransfer_Encoding: chunked"),
          ("forwarded", "X-Forwarded-For: 127.0.0.1\r\nForwarded: for=127.0.0.1"), ("cookie", "Cookie: a=b; c=d")]
    for name, text in ok:
        field(name, text, "a.example", "a field")
    bad = [("fold-space", "X: y\r\n z"), ("fold-tab", "X: y\r\n\tz"), ("fold-empty", "X: y\r\n "), ("fold-first", " X: y"),
           ("no-name", ": y"), ("no-colon", "X"), ("no-colon-space", "X y"), ("space-colon", "X : y"), ("tab-colon", "X\t: y"),
           ("space-in-name", "X Y: z"), ("cr-in", "X: a\rb"), ("cr-first", "\rX: y"), ("cr-two", "X: y\r"), ("lf", "X: y\nZ: a"),
           ("lf-end", "X: y\n"), ("lf-cr", "X: y\n\rZ: a"), ("utf8-name", "\xc3\xa4: y"), ("nbsp-name", "X\xa0: y"),
           ("zero-width", "\xef\xbb\xbfX: y")]
    for name, text in bad:
        field(name, text, "400", "no field in its one spelling")
    for mark in "(),/;<=>?@[]{}\"\\":
        field(f"name-{ord(mark):02x}", f"X{mark}: y", "400", "no byte of a name")
    for n in CONTROLS:
        field(f"control-{n:02x}", f"X: a{chr(n)}b", "400", "a control byte in a value")
    for n in (1, 8, 11, 12, 27, 31, 127):
        field(f"name-control-{n:02x}", f"X{chr(n)}: y", "400", "a control byte in a name")
    field("nul", "X: a\0b", "400", "what C ends a string with")
    field("nul-name", "X\0: y", "400", "the same")
    field("too-long", "X: " + "y" * 8190, "431", "a byte more than 8 KiB")
    field("64k", "X: " + "y" * 65536, "431", "64 KiB")
    fields = "".join(f"X-{n}: y\r\n" for n in range(99))
    request("head-100-fields", "GET / HTTP/1.1\r\n" + HOST + fields + "\r\n", "a.example", "as many as there may be")
    request("head-101-fields", "GET / HTTP/1.1\r\n" + HOST + fields + "X: y\r\n\r\n", "431", "one more")
    request("head-1000-fields", "GET / HTTP/1.1\r\n" + HOST + "X: y\r\n" * 1000 + "\r\n", "431", "many more")
    start = "GET / HTTP/1.1\r\n" + HOST + ("X: " + "y" * 8000 + "\r\n") * 4
    rest = 32768 - len(start) - len("X: \r\n\r\n")
    request("head-32k", start + "X: " + "y" * rest + "\r\n\r\n", "a.example", "as much as there may be")
    request("head-32k-over", start + "X: " + "y" * (rest + 1) + "\r\n\r\n", "431", "a byte more")


def requests_framing():
    for name, value in (("5", "5"), ("zeros", "00000005"), ("space", "   5  ")):
        framing("length-" + name, ["Content-Length: " + value], "hello" + NEXT, "a.example next.example", "a length")
    framing("length-0", ["Content-Length: 0"], NEXT, "a.example next.example", "no body")
    framing("length-none", [], NEXT, "a.example next.example", "a request without a length has no body")
    framing("length-short", ["Content-Length: 6"], "hello", "a.example more", "not all of it")
    framing("length-18", ["Content-Length: " + "9" * 18], "hello", "a.example more", "as long as a length may be")
    bad = ["", "+5", "-5", "5,5", "5, 5", "5, 6", "5 5", "0x5", "5.0", "1e1", "5;", "\"5\"", "five", "5\x0b", "9" * 19,
           "18446744073709551616", "18446744073709551621", "4294967301" * 2, "\xd9\xa5", "-0", "5\t", "\t5", "5_0", "0b101", "05,"]
    for n, value in enumerate(bad):
        framing(f"length-bad-{n:02d}", ["Content-Length: " + value], "hello" + NEXT, "400", "no length in its one spelling")
    length, coding = "Content-Length: 5", "Transfer-Encoding: chunked"
    two = [("cl-cl", [length, length]), ("cl-cl-other", [length, "Content-Length: 6"]), ("cl-cl-zero", ["Content-Length: 0", length]),
           ("cl-te", [length, coding]), ("te-cl", [coding, length]), ("te-cl-zero", [coding, "Content-Length: 0"]),
           ("te-te", [coding, coding]), ("te-te-identity", [coding, "Transfer-Encoding: identity"]),
           ("cl-te-apart", [length, "X: y", coding]), ("cl-te-case", ["content-length: 5", "TRANSFER-ENCODING: chunked"]),
           ("te-space-colon", ["Transfer-Encoding : chunked"]), ("te-tab-colon", ["Transfer-Encoding\t: chunked"]),
           ("te-vt-colon", ["Transfer-Encoding\v: chunked"]), ("te-nul", ["Transfer-Encoding: chunked\0"]),
           ("te-folded-behind", ["Transfer-Encoding: chunked", " , identity"]),
           ("te-space-first", [" Transfer-Encoding: chunked"]), ("te-vt", ["Transfer-Encoding: \vchunked"]),
           ("te-tab", ["Transfer-Encoding:\tchunked"]), ("te-tab-behind", ["Transfer-Encoding: chunked\t"]),
           ("te-cr", ["X: y\rTransfer-Encoding: chunked"]), ("te-lf", ["X: y\nTransfer-Encoding: chunked"]),
           ("cl-space-colon", ["Content-Length : 5"]), ("cl-folded", ["Content-Length:", " 5"]), ("cl-lf", ["X: y\nContent-Length: 5"])]
    for name, lines in two:
        framing(name, lines, "0\r\n\r\n" + NEXT, "400", "one reader sees another body than the next")
    for n, value in enumerate(["gzip, chunked", "chunked, gzip", "identity", "xchunked", "chunkedx", "chunked, chunked", "chunked;q=1",
                               "\"chunked\"", "", "chunked,", ",chunked", "cow", "chunke", "x chunked", "gzip"]):
        framing(f"te-other-{n:02d}", ["Transfer-Encoding: " + value], "0\r\n\r\n" + NEXT, "501", "a coding that is not known here")
    for n, value in enumerate(["chunked", "Chunked", "CHUNKED", "  chunked  "]):
        framing(f"te-{n:02d}", ["Transfer-Encoding: " + value], "0\r\n\r\n" + NEXT, "a.example next.example", "chunks")
    framing("te-folded", ["Transfer-Encoding:", " chunked"], "0\r\n\r\n" + NEXT, "501", "an empty value; the fold behind it is not reached")
    request("framing-te-old", "POST / HTTP/1.0\r\n" + HOST + coding + "\r\n\r\n0\r\n\r\n", "400", "HTTP/1.0 knows no chunks")
    request("framing-get-body", "GET / HTTP/1.1\r\n" + HOST + length + "\r\n\r\nhello" + NEXT, "a.example next.example", "a GET may have a body")
    request("framing-get-chunks", "GET / HTTP/1.1\r\n" + HOST + coding + "\r\n\r\n0\r\n\r\n" + NEXT, "a.example next.example", "the same")
    request("framing-head-body", "HEAD / HTTP/1.1\r\n" + HOST + length + "\r\n\r\nhello" + NEXT, "a.example next.example", "the same")
    request("framing-underscore", "POST / HTTP/1.1\r\n" + HOST + "Content_Length: 5\r\n\r\n" + NEXT, "a.example next.example", "another name")
    smuggled = "GET /smuggled HTTP/1.1\r\nHost: b.example\r\n\r\n"
    framing("inside", [f"Content-Length: {len(smuggled)}"], smuggled + NEXT, "a.example next.example", "a request in a body")
    framing("inside-chunk", [coding], f"{len(smuggled):x}\r\n{smuggled}\r\n0\r\n\r\n" + NEXT, "a.example next.example", "the same in a chunk")


def requests_chunks():
    good = [("one", "5\r\nhello\r\n0\r\n\r\n"), ("two", "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"), ("none", "0\r\n\r\n"), ("zeros", "000\r\n\r\n"),
            ("digits", "00000005\r\nhello\r\n0\r\n\r\n"), ("hex", "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"),
            ("extension", "5;a=b\r\nhello\r\n0\r\n\r\n"), ("extension-quoted", "5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n"),
            ("extension-last", "0;a\r\n\r\n"), ("extension-256", "5;" + "a" * 256 + "\r\nhello\r\n0\r\n\r\n"),
            ("trailer", "0\r\nA: b\r\n\r\n"), ("trailers", "0\r\nA: b\r\nC:\r\n\r\n"), ("crlf-in", "4\r\n\r\n\r\n\r\n0\r\n\r\n")]
    for name, body in good:
        chunks(name, body + NEXT, "a.example next.example", "chunks")
    bad = [("empty", "\r\n"), ("digits-9", "000000005\r\nhello\r\n"), ("prefix", "0x5\r\nhello\r\n"), ("plus", "+5\r\nhello\r\n"),
           ("minus", "-5\r\nhello\r\n"), ("space", "5 \r\nhello\r\n"), ("space-first", " 5\r\nhello\r\n"), ("tab", "5\t\r\nhello\r\n"),
           ("word", "five\r\nhello\r\n"), ("h", "5h\r\nhello\r\n"), ("lf", "5\nhello\r\n"), ("cr", "5\rhello\r\n"), ("lf-behind", "5\r\nhello\n0\r\n\r\n"),
           ("cr-behind", "5\r\nhello\r0\r\n\r\n"), ("short", "6\r\nhello\r\n0\r\n\r\n"), ("long", "4\r\nhello\r\n0\r\n\r\n"),
           ("nothing-behind", "5\r\nhello0\r\n\r\n"), ("extension-257", "5;" + "a" * 257 + "\r\nhello\r\n"), ("extension-lf", "5;a\nb\r\nhello\r\n"),
           ("extension-cr", "5;a\rb\r\nhello\r\n"), ("extension-nul", "5;a\0\r\nhello\r\n"), ("extension-space", "5 ;a\r\nhello\r\n"),
           ("comma", "5,5\r\nhello\r\n"), ("end-lf", "0\r\n\n"), ("end-lf-lf", "0\n\n"), ("end-cr", "0\r\n\rx"), ("trailer-no-colon", "0\r\nA\r\n\r\n"),
           ("trailer-space", "0\r\nA : b\r\n\r\n"), ("trailer-fold", "0\r\nA: b\r\n c\r\n\r\n"), ("trailer-lf", "0\r\nA: b\n\r\n"),
           ("trailer-nul", "0\r\nA: \0\r\n\r\n"), ("trailer-length", "0\r\nContent-Length: 5\r\n\r\n"), ("trailer-coding", "0\r\nTransfer-Encoding: chunked\r\n\r\n"),
           ("trailer-host", "0\r\nHost: b.example\r\n\r\n"), ("trailer-forwarded", "0\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n"),
           ("trailer-request", "0\r\nGET /smuggled HTTP/1.1\r\nHost: b.example\r\n\r\n"), ("trailers-9k", "0\r\nA: " + "b" * 9000 + "\r\n\r\n")]
    for name, body in bad:
        chunks("bad-" + name, body + NEXT, "a.example 400", "no chunks in their one spelling")
    chunks("cut-size", "5", "a.example more", "not all of it")
    chunks("cut-data", "5\r\nhell", "a.example more", "not all of it")
    chunks("cut-last", "5\r\nhello\r\n", "a.example more", "not all of it")
    chunks("cut-end", "0\r\n", "a.example more", "not all of it")
    chunks("huge", "ffffffff\r\nhello", "a.example more", "a chunk of 4 GiB")


def requests_connections():
    ok = [("keep-alive", "keep-alive"), ("empty", ""), ("commas", ",, keep-alive ,"), ("other", "X-A"), ("te", "TE"), ("many", ",".join(f"x{n}" for n in range(16)))]
    for name, value in ok:
        request("connection-" + name, f"GET / HTTP/1.1\r\n{HOST}Connection: {value}\r\n\r\n" + NEXT, "a.example next.example", "it stays")
    for name, value in (("close", "close"), ("close-case", "CLOSE"), ("close-list", "X-A, close"), ("close-blank", " close "), ("close-both", "keep-alive, close")):
        request("connection-" + name, f"GET / HTTP/1.1\r\n{HOST}Connection: {value}\r\n\r\n" + NEXT, "a.example end", "what follows is nobody's")
    for name, value in (("quoted", "\"close\""), ("space", "close keep-alive"), ("semicolon", "close;"), ("too-many", ",".join(f"x{n}" for n in range(17))),
                        ("slash", "a/b"), ("utf8", "\xc3\xa4")):
        request("connection-bad-" + name, f"GET / HTTP/1.1\r\n{HOST}Connection: {value}\r\n\r\n", "400", "no list of names, or too long")
    for name in ("Host", "Content-Length", "Transfer-Encoding", "Trailer", "Expect", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host",
                 "X-Forwarded-Port", "X-Real-IP", "Forwarded", "X-Request-Id"):
        request("connection-lists-" + name.lower(), f"GET / HTTP/1.1\r\n{HOST}Connection: close, {name}\r\n\r\n", "400", "without it the message is another one")
    request("connection-old", f"GET / HTTP/1.0\r\n{HOST}\r\n" + NEXT, "a.example end", "HTTP/1.0 does not stay")
    request("connection-old-stays", f"GET / HTTP/1.0\r\n{HOST}Connection: keep-alive\r\n\r\n" + NEXT, "a.example next.example", "unless it says so")
    request("connection-upgrade-h2c", f"GET / HTTP/1.1\r\n{HOST}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n" + NEXT,
            "a.example next.example", "not changed to what would go past the router")
    request("connection-upgrade-alone", f"GET / HTTP/1.1\r\n{HOST}Upgrade: websocket\r\n\r\n" + NEXT, "a.example next.example", "without Connection it says nothing")


def requests_others():
    one = "GET / HTTP/1.1\r\n" + HOST + "\r\n"
    request("pipeline-2", one + NEXT, "a.example next.example", "two requests")
    request("pipeline-10", one * 10, " ".join(["a.example"] * 10), "ten requests")
    request("pipeline-hosts", "".join(f"GET / HTTP/1.1\r\nHost: {x}.example\r\n\r\n" for x in "abab"), "a.example b.example a.example b.example", "each has its host")
    request("pipeline-bad", one + "GET / HTTP/1.1\r\n\r\n" + NEXT, "a.example 400", "the second one is refused, and nothing is read behind it")
    request("pipeline-junk", one + "\x16\x03\x01", "a.example more", "something else follows")
    for n in (1, 3, 4, 5, 14, 15, 16, 20, len(one) - 2, len(one) - 1):
        request(f"cut-{n:02d}", one[:n], "more", "not all of it")
    request("other-empty", "", "more", "nothing")
    request("other-crlf", "\r\n", "400", "an empty line")
    request("other-h2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505", "HTTP/2 without TLS")
    request("other-tls", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(32)) + b"\r\n\r\n", "400", "TLS")
    request("other-ssh", "SSH-2.0-OpenSSH_9.2\r\n", "400", "SSH")
    request("other-smtp", "HELO a.example\r\n", "400", "SMTP")
    request("other-socks", b"\x05\x01\x00\r\n", "400", "SOCKS")
    request("other-proxy", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + one, "400", "a PROXY header where none is expected")
    request("other-json", "{\"a\": 1}\r\n\r\n", "400", "JSON")
    request("other-answer", "HTTP/1.1 200 OK\r\n\r\n", "400", "an answer")
    request("other-ff", b"\xff" * 100 + b"\r\n", "400", "bytes")
    request("other-long", "G" * 40000, "431", "no line")


# --- answers


def answer(name, data, expected, why):
    case("answers", name, data, expected, why)


def answers():
    ok, again = "HTTP/1.1 200 OK\r\n", "HTTP/1.1 201 Again\r\nContent-Length: 0\r\n\r\n"
    answer("counted", ok + "Content-Length: 5\r\n\r\nhello" + again, "200/5 201/0", "a length")
    answer("chunked", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + again, "200/15 201/0", "chunks")
    answer("until-close", ok + "\r\nhello", "200/close", "neither")
    answer("until-close-old", "HTTP/1.0 200 OK\r\n\r\nhello" + again, "200/close", "neither")
    answer("no-reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200/0", "a reason is not needed")
    answer("empty-reason", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "200/0", "the same")
    answer("utf8-reason", "HTTP/1.1 200 \xc3\xa4\r\nContent-Length: 0\r\n\r\n", "200/0", "any")
    answer("control-reason", "HTTP/1.1 200 a\x01b\r\nContent-Length: 0\r\n\r\n", "200/0", "any, but it is not said again")
    answer("continue", "HTTP/1.1 100 Continue\r\n\r\n" + again, "100/0 201/0", "an interim answer")
    answer("hints", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + again, "103/0 201/0", "an interim answer")
    answer("no-content", "HTTP/1.1 204 No Content\r\n\r\n" + again, "204/0 201/0", "never a body")
    answer("no-content-length", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n" + again, "204/0 201/0", "whatever it says")
    answer("not-modified", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n" + again, "304/0 201/0", "the length is that of what was not sent")
    answer("code-999", "HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n", "999/0", "some say so")
    answer("old-kept", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n" + again, "200/0 201/0", "HTTP/1.0 that stays")
    answer("old-over", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n" + again, "200/0", "HTTP/1.0 does not stay")
    answer("close", ok + "Connection: close\r\nContent-Length: 0\r\n\r\n" + again, "200/0", "what follows is nobody's")
    answer("bad-connection", ok + "Connection: \"x\"\r\nContent-Length: 0\r\n\r\n" + again, "200/0", "it is not trusted with another request")
    answer("connection-lists-length", ok + "Connection: Content-Length\r\nContent-Length: 5\r\n\r\nhello" + again, "200/5 201/0", "a length stays a length")
    answer("two-hosts", ok + "Host: a\r\nHost: b\r\nContent-Length: 0\r\n\r\n", "200/0", "Host means nothing in an answer")
    for name, text in (("double-space", "HTTP/1.1  200 OK"), ("short", "HTTP/1.1 20 OK"), ("long", "HTTP/1.1 2000 OK"), ("zero", "HTTP/1.1 099 OK"),
                       ("word", "HTTP/1.1 abc OK"), ("glued", "HTTP/1.1 200OK"), ("tab", "HTTP/1.1\t200 OK"), ("only-version", "HTTP/1.1"),
                       ("two", "HTTP/2 200"), ("two-zero", "HTTP/2.0 200 OK"), ("one-two", "HTTP/1.2 200 OK"), ("small", "http/1.1 200 OK"),
                       ("icy", "ICY 200 OK"), ("ssh", "SSH-2.0-x"), ("space", " HTTP/1.1 200 OK"), ("minus", "HTTP/1.1 -20 OK"),
                       ("cr", "HTTP/1.1 200 a\rb"), ("empty", "")):
        answer("line-" + name, text + "\r\nContent-Length: 0\r\n\r\n", "502", "no status line")
    for name, text in (("cl-cl", "Content-Length: 5\r\nContent-Length: 5"), ("cl-list", "Content-Length: 5, 5"), ("cl-plus", "Content-Length: +5"),
                       ("cl-empty", "Content-Length:"), ("te-cl", "Transfer-Encoding: chunked\r\nContent-Length: 5"),
                       ("te-gzip", "Transfer-Encoding: gzip, chunked"), ("te-identity", "Transfer-Encoding: identity"), ("te-tab", "Transfer-Encoding: chunked\t"),
                       ("te-te", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), ("fold", "X: y\r\n z"), ("space-colon", "Content-Length : 5"),
                       ("no-name", ": y"), ("lf", "X: y\nZ: a"), ("nul", "X: \0"), ("cr", "X: a\rb"), ("no-colon", "X")):
        answer("field-" + name, ok + text + "\r\n\r\n0\r\n\r\n", "502", "what could be read in two ways")
    answer("te-old", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "502", "HTTP/1.0 knows no chunks")
    answer("lf", "HTTP/1.1 200 OK\n\n", "502", "a head with LF only")
    answer("crlf-first", "\r\n" + again, "502", "an empty line first")
    answer("none", "", "more", "nothing")
    answer("cut", "HTTP/1.1 200 O", "more", "not all of it")
    answer("cut-head", ok + "X: y\r\n", "more", "not all of it")
    answer("cut-body", ok + "Content-Length: 6\r\n\r\nhello", "200 more", "not all of it")
    answer("cut-chunk", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhell", "200 more", "not all of it")
    answer("bad-chunk", ok + "Transfer-Encoding: chunked\r\n\r\nx\r\n", "200 502", "no chunk")
    answer("101-fields", ok + "X: y\r\n" * 101 + "\r\n", "502", "more than 100 fields")
    answer("64k", ok + "X: " + "y" * 65536 + "\r\n\r\n", "502", "64 KiB")


# --- hellos


def vector(size, data):
    return len(data).to_bytes(size, "big") + data


def extension(kind, body):
    return struct.pack(">H", kind) + vector(2, body)


def server_name(*names, kind=0):
    return extension(0, vector(2, b"".join(bytes([kind]) + vector(2, n) for n in names)))


def hello(*extensions, version=b"\3\3", session=b"\1" * 32, ciphers=b"\x13\1\x13\2", compressions=b"\0", tail=None):
    body = version + bytes(range(32)) + vector(1, session) + vector(2, ciphers) + vector(1, compressions)
    body += vector(2, b"".join(extensions)) if tail is None else tail
    return b"\1" + vector(3, body)


def record(data, kind=22, version=b"\3\1"):
    return bytes([kind]) + version + vector(2, data)


def records(data, *sizes):
    out, at = b"", 0
    for size in sizes:
        out += record(data[at:at + size])
        at += size
    return out + (record(data[at:]) if at < len(data) else b"")


OTHERS = (extension(10, b"\0\2\0\x1d"), extension(43, b"\2\3\4"), extension(16, b"\0\x0c\2h2\x08http/1.1"), extension(0x0A0A, b""))


def tls(name, data, expected, why):
    case("hellos", name, data, expected, why)


def hellos():
    name = server_name(b"a.example")
    plain = hello(name, *OTHERS)
    found = "name:a.example"
    tls("plain", record(plain), found, "one record")
    tls("name-last", record(hello(*OTHERS, name)), found, "extensions have no order")
    tls("name-only", record(hello(name)), found, "no other extension")
    for minor in range(5):
        tls(f"version-3{minor}", record(plain, version=bytes([3, minor])), found, "the version of a record says little")
        tls(f"hello-version-3{minor}", record(hello(name, version=bytes([3, minor]))), found, "the same")
    for size in (1, 2, 3, 4, 5, 7, 16, 100):
        tls(f"fragments-{size:03d}", records(plain, *[size] * (len(plain) // size)), found, "one hello in many records")
    tls("fragments-two", records(plain, len(plain) // 2), found, "in two")
    tls("fragments-last-byte", records(plain, len(plain) - 1), found, "in two, the second with a byte")
    tls("padded", record(hello(name, extension(21, b"\0" * 2000))), found, "padding")
    tls("big", records(hello(name, extension(21, b"\0" * 15000)), 4096, 4096, 4096), found, "nearly 16 KiB")
    tls("more-behind", record(plain) + record(b"\x14", kind=20), found, "something follows")
    tls("more-in-record", record(plain + hello(server_name(b"b.example"))), found, "a second hello behind it")
    tls("case", record(hello(server_name(b"A.EXAMPLE"))), found, "names have no case")
    tls("dot-behind", record(hello(server_name(b"a.example."))), found, "the root's dot")
    tls("ech", record(hello(name, extension(0xFE0D, b"\0" * 200))), found, "the outer hello of ECH")
    tls("no-session", record(hello(name, session=b"")), found, "no session")
    tls("underscore", record(hello(server_name(b"_a.example"))), "name:_a.example", "not RFC 952, but there")
    tls("alabel", record(hello(server_name(b"xn--bcher-kva.example"))), "name:xn--bcher-kva.example", "an A-label")
    tls("label", record(hello(server_name(b"localhost"))), "name:localhost", "one label")
    long = b".".join([b"a" * 61] * 4) + b".aaaaa"
    tls("long-253", record(hello(server_name(long))), "name:" + long.decode(), "as long as a name may be")
    none = [("no-extensions", hello(tail=b""), "before TLS 1.2 there were none"), ("no-extension", hello(), "an empty list"),
            ("others-only", hello(*OTHERS), "no name"), ("empty", hello(server_name(b"")), "an empty name"), ("dot", hello(server_name(b".")), "no label"),
            ("dots", hello(server_name(b"a..example")), "an empty label"), ("dot-first", hello(server_name(b".a.example")), "an empty label"),
            ("ip", hello(server_name(b"192.0.2.1")), "an address"), ("sixth", hello(server_name(b"::1")), "an address"),
            ("sixth-brackets", hello(server_name(b"[::1]")), "an address"), ("ip-hex", hello(server_name(b"0x7f.1")), "an old address"),
            ("ip-number", hello(server_name(b"2130706433")), "an old address"), ("long-255", hello(server_name(b"a" * 255)), "a label of 255 bytes"),
            ("long-254", hello(server_name(long + b"a")), "longer than a name may be"), ("nul", hello(server_name(b"a.example\0b")), "what C ends a string with"),
            ("utf8", hello(server_name("bücher.example".encode())), "bytes beyond ASCII"), ("space", hello(server_name(b"a example")), "no byte of a name"),
            ("star", hello(server_name(b"*.example")), "a pattern"), ("port", hello(server_name(b"a.example:443")), "a port"),
            ("slash", hello(server_name(b"a.example/b")), "a path"), ("user", hello(server_name(b"u@a.example")), "a user"),
            ("percent", hello(server_name(b"a%2eexample")), "an escape"), ("twice", hello(server_name(b"a.example", b"b.example")), "two names in one list"),
            ("twice-same", hello(server_name(b"a.example", b"a.example")), "the same one twice"), ("extension-twice", hello(name, server_name(b"b.example")), "two lists"),
            ("kind", hello(server_name(b"a.example", kind=1)), "no host name"), ("list-empty", hello(extension(0, b"\0\0")), "an empty list")]
    for title, data, why in none:
        tls("none-" + title, record(data), "none", why)
    refused = [("session-33", record(hello(name, session=b"\1" * 33)), "a session is at most 32 bytes"), ("no-ciphers", record(hello(name, ciphers=b"")), "no ciphers"),
               ("no-compressions", record(hello(name, compressions=b"")), "no compressions"), ("version-2", record(hello(name, version=b"\2\0")), "SSL 2"),
               ("version-4", record(hello(name, version=b"\4\0")), "no version"), ("list-short", record(hello(extension(0, b"\0\5\0\0\1a"))), "a list that ends too late"),
               ("list-long", record(hello(extension(0, b"\0\3\0\0\1a"))), "a list that ends too early"), ("name-long", record(hello(extension(0, b"\0\4\0\0\x09a"))), "a name beyond its list"),
               ("extension-empty", record(hello(extension(0, b""))), "no list"), ("extension-long", record(hello(tail=vector(2, b"\0\0\0\x20\0"))), "an extension beyond its list"),
               ("extensions-long", record(hello(tail=b"\0\x20\0")), "a list beyond the hello"), ("extensions-tail", record(hello(tail=b"\0\0\0")), "bytes behind the list"),
               ("server-hello", record(b"\2" + vector(3, b"\0" * 40)), "another message"), ("hello-request", record(b"\0" + vector(3, b"")), "another message"),
               ("finished", record(b"\x14" + vector(3, b"\0" * 12)), "another message"), ("length-high", record(b"\1\1\0\0" + b"\0" * 100), "a hello of 64 KiB"),
               ("length-16k", record(b"\1\0\x40\1" + b"\0" * 100), "a hello of more than 16 KiB"), ("record-empty", record(b""), "an empty record"),
               ("record-empty-between", record(plain[:10]) + record(b"") + record(plain[10:]), "an empty record between"), ("record-16k", b"\x16\3\1\x40\1", "a record of more than 16 KiB"),
               ("record-version-2", record(plain, version=b"\2\0"), "SSL 2"), ("record-version-4", record(plain, version=b"\4\0"), "no version"),
               ("alert", record(b"\2\x28", kind=21), "an alert"), ("alerts", record(b"\2\x28", kind=21) * 100, "a flood of alerts"),
               ("data", record(b"hello", kind=23), "data"), ("change", record(b"\1", kind=20), "a change of ciphers"), ("heartbeat", record(b"\1\0\x10", kind=24), "a heartbeat"),
               ("alert-between", record(plain[:10]) + record(b"\1\0", kind=21) + record(plain[10:]), "an alert between"), ("kind-0", record(plain, kind=0), "no kind"),
               ("sslv2", b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10" + b"\1" * 37, "a hello of SSL 2"), ("http", b"GET / HTTP/1.1\r\n\r\n", "HTTP"),
               ("dtls", b"\x16\xfe\xfd" + b"\0" * 10, "DTLS"), ("zeros", b"\0" * 100, "bytes"), ("ff", b"\xff" * 100, "bytes"), ("empty-body", record(b"\1\0\0\0"), "a hello without anything")]
    for title, data, why in refused:
        tls("refused-" + title, data, "refused", why)
    whole = record(plain)
    for n in (0, 1, 2, 4, 5, 6, 8, 9, 20, 43, 44, 76, len(whole) - 1):
        tls(f"cut-{n:03d}", whole[:n], "more", "not all of it")
    tls("cut-between", records(plain, 20)[:25], "more", "the second record is still to come")


def main():
    for make in (requests_lines, requests_targets, requests_hosts, requests_fields, requests_framing, requests_chunks,
                 requests_connections, requests_others, answers, hellos):
        make()
    for folder in ("requests", "answers", "hellos"):
        shutil.rmtree(os.path.join(HERE, folder), ignore_errors=True)
        os.mkdir(os.path.join(HERE, folder))
    with open(os.path.join(HERE, "expected.tsv"), "w", encoding="ascii") as table:
        for path, data, expected, why in CASES:
            with open(os.path.join(HERE, path), "wb") as file:
                file.write(data)
            table.write(f"{path}\t{expected}\t{why}\n")
    print(len(CASES), "cases")


main()
