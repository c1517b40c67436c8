#!/usr/bin/python3
"""Stand-in for Mailpit: accepts mails, and lists them at /api/v1/messages."""

import json
from email import message_from_bytes
from email.header import decode_header, make_header
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller

messages = []


class Mails:
    async def handle_DATA(self, server, session, envelope):
        subject = str(make_header(decode_header(message_from_bytes(envelope.content)["Subject"])))
        messages.append(
            {"To": [{"Address": address} for address in envelope.rcpt_tos], "Subject": subject}
        )
        return "250 OK"


class Listing(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"total": len(messages), "messages": messages}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


Controller(Mails(), hostname="0.0.0.0", port=1025).start()
ThreadingHTTPServer(("0.0.0.0", 8025), Listing).serve_forever()
