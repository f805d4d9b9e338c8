"""The web server that `get_url` and `uri` are tried on: prints its port, then answers until its stdin closes."""

import base64
import http.server
import json
import sys
import threading


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "Dialect"
    sys_version = ""

    def version_string(self):
        return self.server_version

    def date_time_string(self, timestamp=None):
        return "Thu, 01 Jan 2026 00:00:00 GMT"

    def log_message(self, *arguments):
        pass

    def reply(self, status, body=b"", kind="text/plain; charset=utf-8", **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def reply_json(self, status, value):
        self.reply(status, json.dumps(value, sort_keys=True).encode(), "application/json")

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode() if length else ""
        path, _, query = self.path.partition("?")
        wanted = "Basic " + base64.b64encode(b"admin:secret").decode()
        if path == "/hello.txt":
            self.reply(200, b"hello\n", Last_Modified="Thu, 01 Jan 2026 00:00:00 GMT")
        elif path == "/sum":
            # The SHA-256 of "hello\n".
            digest = b"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
            self.reply(200, digest + b"  hello.txt\n")
        elif path == "/json":
            self.reply_json(200, {"name": "mms", "numbers": [1, 2, 3], "nested": {"ok": True, "none": None}})
        elif path == "/echo":
            names = ("Content-Type", "X-Token", "Authorization", "Cookie")
            headers = {name: self.headers[name] for name in names if self.headers[name]}
            self.reply_json(200, {"method": self.command, "query": query, "headers": headers, "body": body})
        elif path == "/private":
            if self.headers.get("Authorization") == wanted:
                self.reply(200, b"welcome")
            else:
                self.reply(401, b"who are you", WWW_Authenticate='Basic realm="dialect"')
        elif path == "/moved":
            self.reply(302, b"", Location="/hello.txt")
        elif path == "/cookie":
            self.reply(200, b"baked", Set_Cookie="flavour=plain; Path=/")
        elif path.startswith("/status/"):
            self.reply(int(path.rsplit("/", 1)[1]), b"as asked")
        else:
            self.reply(404, b"nothing here")

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer


server = http.server.ThreadingHTTPServer((sys.argv[1], 0), Web)
print(server.server_port, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
