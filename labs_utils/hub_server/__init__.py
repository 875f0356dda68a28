"""The classroom's Hub: a small server that speaks the Hub's HTTP API, so that "now log in and push" works offline.

One folder holds its state. The rooms, from the disk outwards: `blobs` (content by sha256), `database` (everything
else), `names` and `limits` (what may be asked for), `auth`, `repos`, `history`, `discussions`, `cards` (what the Hub
knows, no HTTP), `calls` (one request), `api/` (the routes), `pages` (for a browser), `app` (all of it together),
`server` (processes), `notebook` (`lab.hub()`).
"""
